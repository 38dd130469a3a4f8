"""Particles that ride on the flow. They carry labels only; the noise is drawn for the labels afterwards.

What happens to a particle depends on its label, the flow, and the number of particles in its block and cell, never on
the order of particles: the noise is the same however they are spread over threads and chunks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Int32

from equivdm.noise.births import ROOT, bear, enter
from equivdm.noise.births import split as split_into
from equivdm.noise.blocks import find_bare, find_thin, inside, leave, tidy
from equivdm.noise.cells import count_in
from equivdm.noise.flows import NO_FLOW, NO_MASK, StepFlow, StepMask, move, overtaken
from equivdm.noise.lattice import Lattice
from equivdm.noise.philox import Stream, words
from equivdm.noise.table import BIRTH, BLOCK, PATH, SHIFT, SITE, U, V, X, Y
from equivdm.noise.tracks import DEEPEST
from equivdm.noise.workers import in_threads

CROWDED = 8
"""A block above this multiple of its initial number of particles is thinned."""
STARVED = 4
"""A cell that holds at least so many particles needs none in an empty block."""

COLUMNS = 10
_SLACK = 1.25  # of the initial number: room for births before the table is copied to a larger one
_UNTIDY = 1 / 8  # of the table: what is gone is followed in vain until it is more

Whole = Int32[np.ndarray, " particles"]
Counts = Int32[np.ndarray, " blocks"]
Some = Int32[np.ndarray, " some"]


@dataclass
class Particles:
    """The particles that are alive, in order of birth, and how many of them each block holds.

    Rows of the table, by the names of `equivdm.noise.table`: position and last displacement in 1/65536 px; block;
    label, which is the frame and the site (place in the lattice) of birth and the path of splits since then; how far
    off its place it is counted, in 8 bits each way (`offset`); row in the open plan's table of labels, -1 until a frame
    that holds the particle is emitted.
    """

    lattice: Lattice
    table: Int32[np.ndarray, "10 capacity"]
    filled: int
    """Rows of the table that are filled; some of them may be GONE."""
    counts: Counts
    gone: int = 0

    @classmethod
    def none(cls, lattice: Lattice) -> "Particles":
        """Return an empty table with room for a particle at each site and a few more."""
        rows, columns = lattice.sites
        table = np.empty((COLUMNS, int(rows * columns * _SLACK) + 1), np.int32)
        return cls(lattice, table, 0, np.zeros(lattice.blocks[0] * lattice.blocks[1], np.int32))

    @property
    def number(self) -> int:
        """How many are alive."""
        return self.filled - self.gone

    def __getitem__(self, row: int) -> Whole:
        """Return one row of the table, of those that are alive."""
        self._tidy()
        return self.table[row, : self.filled]

    def cells(self) -> Whole:
        """Return the cell that each is counted in; see `equivdm.noise.cells.count_in`."""
        self._tidy()
        lattice = self.lattice
        return count_in(self.table, self.filled, lattice.cell_of, lattice.size, lattice.grid, lattice.units)

    # One step

    def advance(
        self,
        forward: StepFlow,
        backward: StepFlow | None,
        mask: StepMask | None,
        threads: int = 1,
    ) -> None:
        """Move them one step on, and drop what is lost on the way; see `equivdm.noise.flows.move`."""
        edges = [self.filled * thread // threads for thread in range(threads + 1)]
        counts = np.zeros((threads, len(self.counts)), np.int32)
        back, hidden = NO_FLOW if backward is None else backward, NO_MASK if mask is None else mask
        tasks = [
            (self.table, part, forward, back, hidden, self.lattice.blocks, counts[thread])
            for thread, part in enumerate(pairwise(edges))
        ]
        self.gone = sum(in_threads(lambda task: move(*task), tasks, threads))
        self.counts = counts.sum(axis=0, dtype=np.int32) if threads > 1 else counts[0]
        if self.gone > _UNTIDY * self.filled:
            self._tidy()

    def cull(self, following: StepFlow) -> None:
        """Drop what something has moved over, by the next step's forward flow; see `equivdm.noise.flows.overtaken`."""
        nominal = self.lattice.per_block**2
        crowd = inside(self.table, self.filled, 2 * self.counts > 3 * nominal, self.counts)
        self._drop(overtaken(self.table, crowd, following, len(self.counts), nominal))

    def settle(self, frame: int) -> None:
        """Thin crowded blocks, split the particles of cells that zoom thins out, and fill what is bare.

        Each cell holds at least one particle afterwards.
        """
        self._thin(frame)
        lattice = self.lattice
        held = np.empty(lattice.grid[0] * lattice.grid[1], np.int32)
        split, bare = np.empty((2, len(self.counts)), np.bool_)
        if find_thin(self.counts, lattice.grid, lattice.halves, lattice.per_cell, (held, split)):
            self._split(split, held)
        if find_bare(self.counts, lattice.grid, lattice.halves, STARVED, split, bare):
            self.add_born(lattice.sites_of(np.flatnonzero(bare)), frame)

    def restart(self, frame: int) -> None:
        """Drop all and give birth to one at every site, as at the start of a shot.

        Block by block: who is near in the table is near in the picture, and hits the same cells when noise is drawn.
        """
        self.filled = self.gone = 0
        self.counts[:] = 0
        self.add_born(self.lattice.sites_of(np.arange(len(self.counts))), frame)

    def load(self, columns: Mapping[int, Whole]) -> None:
        """Take the given rows for those of all particles."""
        self.filled = self.gone = 0
        self.counts[:] = 0
        first = self._room(len(columns[X]))
        for row in (X, Y, BIRTH, SITE, PATH):
            self.table[row, first : self.filled] = columns[row]
        self.table[SHIFT, first : self.filled] = _shift(columns[SITE], columns[BIRTH])
        self._enter(first)
        self[U][:], self[V][:] = columns[U], columns[V]

    # Parts of it

    def _drop(self, lost: Some) -> None:
        """Drop these."""
        leave(self.table, lost, self.counts)
        self.gone += len(lost)

    def _tidy(self) -> None:
        """Close the gaps of those that are gone."""
        if self.gone:
            self.filled, self.gone = int(tidy(self.table, self.filled)), 0

    def add_born(self, sites: Whole, frame: int) -> None:
        """Add a particle at each site, counted off its place by a hash of its label."""
        first = self._room(len(sites))
        bits = _shift(sites, np.full_like(sites, frame))
        bear(self.table, first, sites, frame, bits, self.lattice.size, self.lattice.sites)
        self._enter(first)

    def _thin(self, frame: int) -> None:
        """Drop particles of crowded blocks by a hash of label and frame, so that about the limit remain."""
        limit = CROWDED * self.lattice.per_block**2
        if int(self.counts.max()) <= limit:
            return
        crowd = self.counts[self[BLOCK]].astype(np.int64)
        (crowded,) = np.nonzero(crowd > limit)
        bits = words(self[SITE][crowded], self[BIRTH][crowded], self[PATH][crowded], Stream.THINNING | frame << 4)
        self._drop(crowded[bits.astype(np.int64) * crowd[crowded] >= limit << 32].astype(np.int32))

    def _split(self, split: Bool[np.ndarray, " blocks"], held: Int32[np.ndarray, " cells"]) -> None:
        """Replace the particles of the marked blocks by four children each; see `equivdm.noise.births.split`."""
        parents = inside(self.table, self.filled, split, self.counts)
        parents = parents[self.table[PATH, parents] < 1 << 2 * DEEPEST]
        spread = np.stack(self.lattice.spread(held[self.lattice.cell_of[self.table[BLOCK, parents]]]))
        self._drop(parents)
        first = self._room(4 * len(parents))
        split_into(self.table, first, parents, spread, self.lattice.size)
        self._enter(first)

    def _room(self, number: int) -> int:
        """Fill so many rows more, and return the first; what is in them is for the caller to say."""
        first, needed = self.filled, self.filled + number
        if needed > self.table.shape[1]:
            grown = np.empty((COLUMNS, int(needed * _SLACK)), np.int32)
            grown[:, :first] = self.table[:, :first]
            self.table = grown
        self.filled = needed
        return first

    def _enter(self, first: int) -> None:
        enter(self.table, (first, self.filled), self.lattice.size, self.lattice.blocks, self.counts)


def offset(sites: Whole, births: Whole) -> Int32[np.ndarray, "2 particles"]:
    """Return how far right and down of its place a particle is counted: odd 1/512 of a site, below a half."""
    bits = _shift(sites, births)
    return np.stack([bits & 255, bits >> 8]) * 2 - 255


def _shift(sites: Whole, births: Whole) -> Whole:
    return words(sites, births, np.full_like(sites, ROOT), int(Stream.SHIFT)).astype(np.int32) & 0xFFFF
