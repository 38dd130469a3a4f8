"""Particles that ride on the flow. They carry labels only; the noise is drawn for the labels afterwards.

What happens to a particle depends on its label, the flow, and the number of particles in its block and cell, never on
the order of particles: the noise is the same however they are spread over threads and chunks.
"""

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Int32, Int64

from equivdm.noise.compiled import constant
from equivdm.noise.flows import (
    BIRTH,
    BLOCK,
    PATH,
    SITE,
    TRACK,
    FixedFlow,
    StepMask,
    U,
    V,
    X,
    Y,
    compact,
    judge,
    move,
    overtaken,
    places,
)
from equivdm.noise.lattice import PIXEL, Lattice
from equivdm.noise.philox import DEEPEST, Stream, words

CROWDED = 8
"""A block above this multiple of its initial number of particles is thinned."""
STARVED = 4
"""A cell that holds at least so many particles needs none in an empty block."""
ROOT = 1
"""Path of a particle that was born; child j of a path is 4 * path + j."""

COLUMNS = 9
_SLACK = 1.25  # of the initial number: room for births before the table is copied to a larger one

Whole = Int32[np.ndarray, " particles"]
Wide = Int64[np.ndarray, " particles"]
Counts = Int32[np.ndarray, " blocks"]


@dataclass
class Particles:
    """The particles that are alive, in order of birth, and how many of them each block holds.

    Rows of the table, by the names of `equivdm.noise.flows`: position and last displacement in 1/65536 px; block;
    label, which is the frame and the site (place in the lattice) of birth and the path of splits since then; row in
    the open plan's table of labels, -1 until a frame that holds the particle is emitted.
    """

    lattice: Lattice
    table: Int32[np.ndarray, "9 capacity"]
    number: int
    counts: Counts

    @classmethod
    def none(cls, lattice: Lattice) -> "Particles":
        """Return an empty table with room for a particle at each site and a few more."""
        rows, columns = lattice.sites
        table = np.empty((COLUMNS, int(rows * columns * _SLACK) + 1), np.int32)
        return cls(lattice, table, 0, np.zeros(lattice.blocks[0] * lattice.blocks[1], np.int32))

    def __getitem__(self, row: int) -> Whole:
        """Return one row of the table, as far as it is filled."""
        return self.table[row, : self.number]

    # One step

    def advance(
        self,
        forward: FixedFlow,
        backward: FixedFlow | None,
        mask: StepMask | None,
        threads: int = 1,
        pool: Executor | None = None,
    ) -> None:
        """Move them one step on, and drop what is lost on the way; see `equivdm.noise.flows.move`."""
        edges = [self.number * thread // threads for thread in range(threads + 1)]
        counts = np.zeros((threads, len(self.counts)), np.int32)
        back, hidden = _NO_FLOW if backward is None else backward, _NO_MASK if mask is None else mask
        tasks = [
            (self.table, first, stop, forward, back, hidden, self.lattice.blocks, counts[thread])
            for thread, (first, stop) in enumerate(pairwise(edges))
        ]
        ends = list((pool.map if pool else map)(lambda task: move(*task), tasks))
        self.number = ends[0]
        for first, end in zip(edges[1:-1], ends[1:], strict=True):
            into = slice(self.number, self.number + end - first)
            self.table[:, into] = self.table[:, first:end].copy()
            self.number = into.stop
        self.counts = counts.sum(axis=0, dtype=np.int32) if threads > 1 else counts[0]

    def cull(self, following: FixedFlow) -> None:
        """Drop what something has moved over, by the next step's forward flow; see `equivdm.noise.flows.overtaken`."""
        nominal = self.lattice.per_block**2
        if 2 * int(self.counts.max()) > 3 * nominal:
            self.keep(~overtaken(self.table, self.number, following, self.counts, nominal))

    def settle(self, frame: int) -> None:
        """Thin crowded blocks, split the particles of cells that zoom thins out, and fill what is bare.

        Each cell holds at least one particle afterwards.
        """
        self._thin(frame)
        lattice = self.lattice
        split = np.empty(lattice.grid[0] * lattice.grid[1], np.bool_)
        bare = np.empty(len(self.counts), np.bool_)
        splits, fills = judge(self.counts, lattice.blocks, lattice.halves, lattice.per_cell, split, bare, STARVED)
        if splits:
            self._split(split)
        if fills:
            self.add_born(lattice.sites_of(np.flatnonzero(bare)), frame)

    def restart(self, frame: int) -> None:
        """Drop all and give birth to one at every site, as at the start of a shot."""
        rows, columns = self.lattice.sites
        self.number = 0
        self.counts[:] = 0
        self.add_born(np.arange(rows * columns, dtype=np.int32), frame)

    def load(self, columns: Mapping[int, Whole]) -> None:
        """Take the given rows for those of all particles."""
        self.number = 0
        self.counts[:] = 0
        self._add(*(columns[row] for row in (X, Y, BIRTH, SITE, PATH)))
        self[U][:], self[V][:] = columns[U], columns[V]

    # Parts of it

    def keep(self, which: Bool[np.ndarray, " particles"]) -> None:
        """Drop the others."""
        self.number = compact(self.table, self.number, which, self.counts)

    def add_born(self, sites: Whole, frame: int) -> None:
        """Add a particle at each site, jittered within it by a hash of its label."""
        rows, columns = self.lattice.sites
        height, width = self.lattice.size
        births = np.full_like(sites, frame)
        right, down = jitter(sites, births)
        x = _within(sites % columns, right, width, columns)
        y = _within(sites // columns, down, height, rows)
        self._add(x, y, births, sites, np.full_like(sites, ROOT))

    def _thin(self, frame: int) -> None:
        """Drop particles of crowded blocks by a hash of label and frame, so that about the limit remain."""
        limit = CROWDED * self.lattice.per_block**2
        if int(self.counts.max()) <= limit:
            return
        crowd = self.counts[self[BLOCK]].astype(np.int64)
        (crowded,) = np.nonzero(crowd > limit)
        keep = np.ones(self.number, np.bool_)
        bits = words(self[SITE][crowded], self[BIRTH][crowded], self[PATH][crowded], Stream.THINNING | frame << 4)
        keep[crowded] = bits.astype(np.int64) * crowd[crowded] < limit << 32
        self.keep(keep)

    def _split(self, split: Bool[np.ndarray, " cells"]) -> None:
        """Replace the particles of the cells that are marked by four children each, a quarter of their distance off.

        The children of a root lie about the middle of its site, as the zoom has carried it: a jitter that the zoom
        enlarges would take their noise to the wrong cell.
        """
        cell = self.lattice.cell_of[self[BLOCK]]
        parents = split[cell] & (self[PATH] < 1 << 2 * DEEPEST)
        chosen = self.table[:, np.flatnonzero(parents)]
        cells = self.lattice.by_cell(self.counts).sum(axis=(1, 3), dtype=np.int32).reshape(-1)
        down, right = self.lattice.spread(cells[cell[parents]])
        self.keep(~parents)
        height, width = self.lattice.size
        child = np.arange(4, dtype=np.int32)
        off_x, off_y = jitter(chosen[SITE], chosen[BIRTH]) * (chosen[PATH] == ROOT)
        x = (chosen[X] - _carried(off_x, right))[:, None] + (2 * (child & 1) - 1) * right[:, None]
        y = (chosen[Y] - _carried(off_y, down))[:, None] + ((child & 2) - 1) * down[:, None]
        self._add(
            np.clip(x, 0, width * PIXEL - 1).reshape(-1),
            np.clip(y, 0, height * PIXEL - 1).reshape(-1),
            np.repeat(chosen[BIRTH], 4),
            np.repeat(chosen[SITE], 4),
            (4 * chosen[PATH][:, None] + child).reshape(-1),
        )

    def _add(self, x: Whole, y: Whole, birth: Whole, site: Whole, path: Whole) -> None:
        if (needed := self.number + len(x)) > self.table.shape[1]:
            grown = np.empty((COLUMNS, int(needed * _SLACK)), np.int32)
            grown[:, : self.number] = self.table[:, : self.number]
            self.table = grown
        new = self.table[:, self.number : needed]
        new[X], new[Y], new[BIRTH], new[SITE], new[PATH] = x, y, birth, site, path
        new[BLOCK] = places(new[X], new[Y], self.lattice.size, self.lattice.blocks)
        new[U] = new[V] = 0
        new[TRACK] = -1
        self.number = needed
        self.counts += np.bincount(new[BLOCK], minlength=len(self.counts)).astype(np.int32)


def jitter(sites: Whole, births: Whole) -> Int64[np.ndarray, "2 particles"]:
    """Return how far right and down of the middle of its site a particle is born: odd 1/512 of a site, below a half."""
    bits = words(sites, births, np.full_like(sites, ROOT), Stream.JITTER).astype(np.int64)
    return np.stack([bits & 255, bits >> 8 & 255]) * 2 - 255


def _within(site: Whole, off: Wide, pixels: int, sites: int) -> Whole:
    """Return coordinates in the site's interval: (site + 1/2 + off / 512) * pixels / sites."""
    parts = site.astype(np.int64) * 512 + 256 + off
    return (parts * (pixels * PIXEL) // (sites * 512)).astype(np.int32)


def _carried(off: Wide, quarter: Whole) -> Whole:
    """Return the jitter in 1/65536 px, rounded to the nearest, where sites have come to be 4 * `quarter` apart."""
    return ((off * quarter + 64) >> 7).astype(np.int32)


_NO_FLOW = np.empty((0, 0, 2), np.int32)
_NO_MASK = constant(np.empty((0, 0), np.bool_))
