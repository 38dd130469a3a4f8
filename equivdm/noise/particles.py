"""Particles that ride on the flow. They carry labels only; the noise is drawn for the labels afterwards.

All positions and displacements are integers in 1/65536 px, x to the right and y down, and pixel i covers [i, i + 1).
From the rounding of the flow to the cell a particle lies in there is integer arithmetic alone (32 bits for positions
and interpolation, 64 for products), so every machine finds the same cells.
"""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int32

from equivdm.noise.compiled import constant, kernel
from equivdm.noise.philox import Stream, words

PIXEL_BITS = 16
PIXEL = 1 << PIXEL_BITS
_WEIGHT_BITS = 14
_HALF_WEIGHT = 1 << (_WEIGHT_BITS - 1)
_ONE = np.uint64(1)
_EDGE = 45875  # 0.7 px: where the four corners differ by more, two motions meet, and a blend would be neither
_CHECK_SHIFT = 8  # the occlusion test squares displacements in 1/256 px, so that they fit into 64 bits

CROWDED = 8
"""A block above this multiple of its initial number of particles is thinned."""
STARVED = 4
"""A cell that holds at least so many particles needs none in an empty half."""

Whole = Int32[np.ndarray, " particles"]
StepFlow = Float32[np.ndarray, "height width 2"]


class Particles(NamedTuple):
    """Particles that are alive, in order of birth. A label is (birth, site)."""

    x: Whole
    y: Whole
    block: Whole
    """The block (see `Lattice`) it lies in, row-major."""
    birth: Whole
    """Frame in which it came to life."""
    site: Whole
    """Place in the fine lattice (row-major) where it came to life."""
    track: Whole
    """Row in the plan's table of labels; -1 until a frame that holds it is emitted."""

    def where(self, keep: Bool[np.ndarray, " particles"]) -> "Particles":
        """Return those that `keep` marks, in the same order."""
        return self if keep.all() else Particles(*(column[keep] for column in self))

    def tracked(self, noted: int) -> "Particles":
        """Return them with a row for each, those without one from row `noted` on."""
        new = self.track < 0
        return self._replace(track=np.where(new, noted + np.cumsum(new, dtype=np.int32) - 1, self.track))


@dataclass(frozen=True)
class Lattice:
    """A latent grid laid over the frame, `per_cell` x `per_cell` birth sites to a cell."""

    size: tuple[int, int]
    """Height and width of the flow, px."""
    grid: tuple[int, int]
    """Height and width of the latent grid, cells."""
    per_cell: int

    @property
    def halves(self) -> int:
        """Blocks along a cell's side: emptiness and crowding are judged by half cells where those hold enough sites."""
        return 2 if self.per_cell >= 4 and self.per_cell % 2 == 0 else 1

    @property
    def sites(self) -> tuple[int, int]:
        """Height and width of the lattice of birth sites."""
        return self.grid[0] * self.per_cell, self.grid[1] * self.per_cell

    @property
    def blocks(self) -> tuple[int, int]:
        """Height and width of the grid of blocks."""
        return self.grid[0] * self.halves, self.grid[1] * self.halves

    def cell_of(self, block: Whole) -> Whole:
        """Return the row-major cells that the given blocks lie in."""
        row, column = np.divmod(np.arange(self.blocks[0] * self.blocks[1], dtype=np.int32), self.blocks[1])
        return (row // self.halves * self.grid[1] + column // self.halves)[block]

    @property
    def per_block(self) -> int:
        """Birth sites along a block's side."""
        return self.per_cell // self.halves


@kernel
def _fixed(displacement: np.float32) -> int:
    """Return px as a whole number of 1/65536 px, halves to even."""
    return int(np.rint(float(displacement) * PIXEL))


@kernel
def _blend(a: int, b: int, c: int, d: int, right: int, down: int) -> int:
    """Return the bilinear blend of the corners a b / c d with weights of 14 bits, each step rounded to the nearest.

    Corners of one motion differ by at most 0.7 px, so the products fit into 32 bits.
    """
    upper = a + (((b - a) * right + _HALF_WEIGHT) >> _WEIGHT_BITS)
    lower = c + (((d - c) * right + _HALF_WEIGHT) >> _WEIGHT_BITS)
    return upper + (((lower - upper) * down + _HALF_WEIGHT) >> _WEIGHT_BITS)


@kernel
def _sample(flow: StepFlow, x: int, y: int) -> tuple[int, int]:
    """Return the flow (u, v) at a position: bilinear, or of the nearest pixel at a motion boundary."""
    height, width, _ = flow.shape
    gx = min(max(x - PIXEL // 2, 0), (width - 1) * PIXEL)
    gy = min(max(y - PIXEL // 2, 0), (height - 1) * PIXEL)
    # Unsigned, which spares the test for negative indices.
    x0, y0 = np.uint64(gx >> PIXEL_BITS), np.uint64(gy >> PIXEL_BITS)
    x1, y1 = min(x0 + _ONE, np.uint64(width - 1)), min(y0 + _ONE, np.uint64(height - 1))
    right = (gx & (PIXEL - 1)) >> (PIXEL_BITS - _WEIGHT_BITS)
    down = (gy & (PIXEL - 1)) >> (PIXEL_BITS - _WEIGHT_BITS)
    ua, va = _fixed(flow[y0, x0, 0]), _fixed(flow[y0, x0, 1])
    ub, vb = _fixed(flow[y0, x1, 0]), _fixed(flow[y0, x1, 1])
    uc, vc = _fixed(flow[y1, x0, 0]), _fixed(flow[y1, x0, 1])
    ud, vd = _fixed(flow[y1, x1, 0]), _fixed(flow[y1, x1, 1])
    spread_u = max(ua, ub, uc, ud) - min(ua, ub, uc, ud)
    spread_v = max(va, vb, vc, vd) - min(va, vb, vc, vd)
    if max(spread_u, spread_v) > _EDGE:
        nearest_x = x1 if right >= _HALF_WEIGHT else x0
        nearest_y = y1 if down >= _HALF_WEIGHT else y0
        return _fixed(flow[nearest_y, nearest_x, 0]), _fixed(flow[nearest_y, nearest_x, 1])
    return _blend(ua, ub, uc, ud, right, down), _blend(va, vb, vc, vd, right, down)


@kernel
def _hidden(backward: StepFlow, x: int, y: int, u: int, v: int) -> bool:
    """Say whether a particle that moved by (u, v) to (x, y) is covered there, by the forward-backward check.

    |f + b|^2 > 0.5 + 0.01 (|f|^2 + |b|^2), with b of the pixel it landed in.
    """
    row, column = np.uint64(y >> PIXEL_BITS), np.uint64(x >> PIXEL_BITS)
    bu, bv = _fixed(backward[row, column, 0]) >> _CHECK_SHIFT, _fixed(backward[row, column, 1]) >> _CHECK_SHIFT
    fu, fv = u >> _CHECK_SHIFT, v >> _CHECK_SHIFT
    gap_u, gap_v = fu + bu, fv + bv
    unit = PIXEL >> _CHECK_SHIFT
    motion = fu * fu + fv * fv + bu * bu + bv * bv
    return 100 * (gap_u * gap_u + gap_v * gap_v) > 50 * unit * unit + motion


@kernel
def _move(x: Whole, y: Whole, forward: StepFlow, backward: StepFlow) -> Bool[np.ndarray, " particles"]:
    """Move the particles in place; return which are still in the frame and, if `backward` has rows, visible."""
    height, width, _ = forward.shape
    alive = np.zeros(x.shape[0], np.bool_)
    for i in range(x.shape[0]):
        u, v = _sample(forward, x[i], y[i])
        to_x, to_y = x[i] + u, y[i] + v
        if 0 <= to_x < width * PIXEL and 0 <= to_y < height * PIXEL:
            x[i], y[i] = to_x, to_y
            alive[i] = backward.shape[0] == 0 or not _hidden(backward, to_x, to_y, u, v)
    return alive


@kernel
def _places(x: Whole, y: Whole, size: tuple[int, int], grid: tuple[int, int]) -> Whole:
    """Return the row-major cell of each particle, for a grid (height, width) laid over a frame of `size` px.

    Exact integer division, made of float64 products for speed: numerators are below 2^45, and the half keeps each
    product farther from a whole number than it can be rounded.
    """
    out = np.empty(x.shape[0], np.int32)
    down, right = 1 / (size[0] * PIXEL), 1 / (size[1] * PIXEL)
    for i in range(x.shape[0]):
        row = int((y[i] * grid[0] + 0.5) * down)
        out[i] = row * grid[1] + int((x[i] * grid[1] + 0.5) * right)
    return out


def born(lattice: Lattice, sites: Whole, frame: int) -> Particles:
    """Return new particles, one at each site, jittered within it by a hash of its label."""
    rows, columns = lattice.sites
    births = np.full_like(sites, frame)
    bits = words(sites, births, 0, int(Stream.JITTER)).astype(np.int64)
    x = _jittered(sites % columns, bits & 255, lattice.size[1], columns)
    y = _jittered(sites // columns, bits >> 8 & 255, lattice.size[0], rows)
    block = _places(x, y, lattice.size, lattice.blocks)
    return Particles(x, y, block, births, sites, np.full_like(sites, -1))


def _jittered(site: Whole, jitter: np.ndarray, pixels: int, sites: int) -> Whole:
    """Return coordinates in the site's interval: (site + (jitter + 1/2) / 256) * pixels / sites."""
    parts = site.astype(np.int64) * 512 + 2 * jitter + 1
    return (parts * (pixels * PIXEL) // (sites * 512)).astype(np.int32)


def seeded(lattice: Lattice, frame: int = 0) -> Particles:
    """Return a particle at every site, as at the start of a shot."""
    rows, columns = lattice.sites
    return born(lattice, np.arange(rows * columns, dtype=np.int32), frame)


def advanced(
    lattice: Lattice, particles: Particles, frame: int, forward: StepFlow, backward: StepFlow | None
) -> Particles:
    """Return the particles at `frame`, one step on: moved, without the lost, thinned and refilled.

    Both flows are contiguous and read-only. Every cell of the result holds at least one particle.
    """
    x, y = particles.x.copy(), particles.y.copy()
    alive = _move(x, y, forward, _unknown_flow() if backward is None else backward)
    moved = particles._replace(x=x, y=y).where(alive)
    moved = moved._replace(block=_places(moved.x, moved.y, lattice.size, lattice.blocks))
    return _refilled(lattice, _thinned(lattice, moved, frame), frame)


@cache
def _unknown_flow() -> Float32[np.ndarray, "0 0 2"]:
    """Return a flow without pixels, of the one array type that the kernels are compiled for."""
    return constant(np.empty((0, 0, 2), np.float32))


def _thinned(lattice: Lattice, particles: Particles, frame: int) -> Particles:
    """Drop particles of crowded blocks by a hash of (label, frame), so that about the limit remain."""
    limit = CROWDED * lattice.per_block**2
    crowd = np.bincount(particles.block)[particles.block]
    crowded = crowd > limit
    if not crowded.any():
        return particles
    bits = words(particles.site[crowded], particles.birth[crowded], frame, int(Stream.THINNING))
    keep = np.ones(len(crowd), np.bool_)
    keep[crowded] = bits.astype(np.int64) * crowd[crowded] < limit << 32
    return particles.where(keep)


def _refilled(lattice: Lattice, particles: Particles, frame: int) -> Particles:
    """Add particles to the sites of empty blocks in starved cells."""
    rows, columns = lattice.blocks
    halves = lattice.halves
    count = np.bincount(particles.block, minlength=rows * columns)
    count = count.reshape(lattice.grid[0], halves, lattice.grid[1], halves)
    starved = count.sum(axis=(1, 3), keepdims=True) < STARVED
    empty = np.flatnonzero((count == 0) & starved)
    if not len(empty):
        return particles
    fresh = born(lattice, _sites_of(lattice, empty), frame)
    return Particles(*(np.concatenate(pair) for pair in zip(particles, fresh, strict=True)))


def _sites_of(lattice: Lattice, blocks: np.ndarray) -> Whole:
    """Return the sites of the given blocks, block by block."""
    side = lattice.per_block
    row, column = np.divmod(blocks, lattice.blocks[1])
    slot = np.arange(side)
    site_rows = (row[:, None] * side + slot)[:, :, None]
    site_columns = (column[:, None] * side + slot)[:, None, :]
    return (site_rows * lattice.sites[1] + site_columns).reshape(-1).astype(np.int32)
