"""Kernels that add particles: the children of those that split, and births; they take the slots behind the last."""

import triton.language as tl

from equivdm.noise.births import ROOT
from equivdm.noise.gpu.kernels import kernel
from equivdm.noise.gpu.kernels.flow import block_of
from equivdm.noise.gpu.kernels.random import hashed
from equivdm.noise.gpu.kernels.table import BIRTH, BLOCK, FRAME, PATH, PIXELS, SHIFT, SITE, U, V, X, Y, slots
from equivdm.noise.particles import STARVED
from equivdm.noise.philox import Stream
from equivdm.noise.tracks import DEEPEST

_STARVED = tl.constexpr(STARVED)
_ROOT = tl.constexpr(ROOT)
_LAST_PATH = tl.constexpr((1 << 2 * DEEPEST) - 1)
_SHIFT = tl.constexpr(int(Stream.SHIFT))


@kernel
def _census(counts, thinned, clip, blocks, columns, HALVES: tl.constexpr, SLOTS: tl.constexpr):
    """Return the blocks of this program, which of them exist, their cells, and of each cell its number of particles,
    that of its fullest block, and how many of its blocks are empty.
    """
    block = tl.program_id(0) * SLOTS + tl.arange(0, SLOTS)
    real = block < blocks
    across, up = block // columns // HALVES, block % columns // HALVES
    corner = across * HALVES * columns + up * HALVES
    held, most, empty = tl.zeros_like(block), tl.zeros_like(block), tl.zeros_like(block)
    for down in tl.static_range(HALVES):
        for right in tl.static_range(HALVES):
            at = clip * blocks + corner + down * columns + right
            count = tl.load(counts + at, mask=real, other=1) - tl.load(thinned + at, mask=real, other=0)
            held += count
            most = tl.maximum(most, count)
            empty += (count == 0).to(tl.int32)
    return block, real, across * (columns // HALVES) + up, held, most, empty


@kernel
def find_thin(counts, thinned, split, rows, columns, per_cell, HALVES: tl.constexpr, SLOTS: tl.constexpr):
    """Write the number of particles of each cell that splits, else 0; see `equivdm.noise.blocks.find_thin`."""
    clip, blocks, area = tl.program_id(1), rows * columns, per_cell * per_cell
    _, real, cell, held, most, empty = _census(counts, thinned, clip, blocks, columns, HALVES, SLOTS)
    splits = (2 * held < area) & (empty <= 1) & (4 * HALVES * HALVES * most <= 3 * area) & (HALVES > 1)
    tl.store(split + clip * (blocks // (HALVES * HALVES)) + cell, tl.where(splits, held, 0), mask=real)


@kernel
def find_bare(counts, thinned, split, ranks, fills, rows, columns, HALVES: tl.constexpr, SLOTS: tl.constexpr):
    """Find the blocks to be filled, after the splits; see `equivdm.noise.blocks.find_bare`.

    Writes the place of a block among those of its program that are filled, else -1; and the number of those.
    """
    clip, blocks = tl.program_id(1), rows * columns
    block, real, cell, held, _, _ = _census(counts, thinned, clip, blocks, columns, HALVES, SLOTS)
    waits = tl.load(split + clip * (blocks // (HALVES * HALVES)) + cell, mask=real, other=0) > 0
    at = clip * blocks + block
    own = tl.load(counts + at, mask=real, other=1) - tl.load(thinned + at, mask=real, other=0)
    bare = (real & (own == 0) & (held < _STARVED) & ~waits).to(tl.int32)
    tl.store(ranks + at, tl.where(bare > 0, tl.cumsum(bare, 0) - 1, -1), mask=real)
    tl.store(fills + clip * tl.num_programs(0) + tl.program_id(0), tl.sum(bare, 0))


@kernel
def _parents(here, row, split, used, columns, HALVES: tl.constexpr):
    """Return which slots hold a particle that splits, as 0 or 1, and the number of particles in its cell."""
    block = tl.load(here + BLOCK * row, mask=used, other=-1)
    cell = block // columns // HALVES * (columns // HALVES) + block % columns // HALVES
    held = tl.load(split + cell, mask=block >= 0, other=0)
    path = tl.load(here + PATH * row, mask=held > 0, other=0)
    return ((held > 0) & (path <= _LAST_PATH)).to(tl.int32), held


@kernel
def count_parents(table, stops, split, parents, cells, columns, capacity, HALVES: tl.constexpr, SLOTS: tl.constexpr):
    """Count the particles of each program that split."""
    clip, slot, used = slots(stops, SLOTS)
    here = table + clip * capacity + slot
    chosen, _ = _parents(here, tl.num_programs(1) * capacity, split + clip * cells, used, columns, HALVES)
    tl.store(parents + clip * tl.num_programs(0) + tl.program_id(0), tl.sum(chosen, 0))


@kernel
def _scan(numbers, count, base, each, CHUNK: tl.constexpr):
    """Turn numbers of things that take `each` slots into the slot of the first; return the slot behind the last."""
    for first in range(0, count, CHUNK):
        at = first + tl.arange(0, CHUNK)
        number = tl.load(numbers + at, mask=at < count, other=0) * each
        tl.store(numbers + at, base + tl.cumsum(number, 0) - number, mask=at < count)
        base += tl.sum(number, 0)
    return base


@kernel
def share_slots(numbers, stops, before, needed, count, each, capacity, CHUNK: tl.constexpr):
    """Give slots behind the last to what each program adds, in order; one program for a clip."""
    clip = tl.program_id(0)
    stop = tl.load(stops + clip)
    tl.store(before + clip, stop)
    stop = _scan(numbers + clip * count, count, stop, each, CHUNK)
    tl.store(needed + clip, tl.maximum(tl.load(needed + clip), stop))
    tl.store(stops + clip, tl.minimum(stop, capacity))


@kernel
def split_parents(
    table, before, split, parents, spread, counts, height, width, rows, columns, capacity,
    HALVES: tl.constexpr, SLOTS: tl.constexpr,
):  # fmt: skip
    """Put four children in the place of each parent."""
    clip, slot, used = slots(before, SLOTS)
    if tl.program_id(0) * SLOTS >= tl.load(before + clip):
        return
    row = tl.num_programs(1) * capacity
    blocks = rows * columns
    here = table + clip * capacity + slot
    cells = split + clip * (blocks // (HALVES * HALVES))
    chosen, held = _parents(here, row, cells, used, columns, HALVES)
    first = tl.load(parents + clip * tl.num_programs(0) + tl.program_id(0)) + 4 * (tl.cumsum(chosen, 0) - chosen)
    chosen = chosen > 0
    if tl.max(chosen.to(tl.int32), 0) > 0:
        was = tl.load(here + BLOCK * row, mask=chosen, other=0)
        tl.atomic_add(counts + clip * blocks + was, -1, mask=chosen, sem="relaxed")
        tl.store(here + BLOCK * row, -1, mask=chosen)
        down = tl.load(spread + 2 * held, mask=chosen, other=0)
        right = tl.load(spread + 2 * held + 1, mask=chosen, other=0)
        x = tl.load(here + X * row, mask=chosen, other=0)
        y = tl.load(here + Y * row, mask=chosen, other=0)
        birth = tl.load(here + BIRTH * row, mask=chosen, other=0)
        site = tl.load(here + SITE * row, mask=chosen, other=0)
        path = tl.load(here + PATH * row, mask=chosen, other=0)
        shift = tl.load(here + SHIFT * row, mask=chosen, other=0)
        for child in tl.static_range(4):
            cx = tl.minimum(tl.maximum(x + (2 * (child & 1) - 1) * right, 0), width * PIXELS - 1)
            cy = tl.minimum(tl.maximum(y + ((child & 2) - 1) * down, 0), height * PIXELS - 1)
            block = block_of(cx, cy, height, width, rows, columns)
            at = first + child
            there = table + clip * capacity + at
            _add(there, row, cx, cy, block, birth, site, 4 * path + child, shift, chosen & (at < capacity))
            tl.atomic_add(counts + clip * blocks + block, 1, mask=chosen, sem="relaxed")


@kernel
def _add(there, row, x, y, block, birth, site, path, shift, room):
    tl.store(there + X * row, x, mask=room)
    tl.store(there + Y * row, y, mask=room)
    tl.store(there + U * row, 0, mask=room)
    tl.store(there + V * row, 0, mask=room)
    tl.store(there + BLOCK * row, block, mask=room)
    tl.store(there + BIRTH * row, birth, mask=room)
    tl.store(there + SITE * row, site, mask=room)
    tl.store(there + PATH * row, path, mask=room)
    tl.store(there + SHIFT * row, shift, mask=room)


@kernel
def _middle(site, pixels, sites):
    return ((2 * site.to(tl.int64) + 1) * (pixels * PIXELS) // (2 * sites)).to(tl.int32)


@kernel
def _bear(there, row, site, frame, height, width, rows, columns, SIDE: tl.constexpr, room):
    """Add a particle in the middle of each site, with a hash of its label for its shift; return the blocks."""
    shift = (hashed(site, tl.zeros_like(site) + frame, tl.zeros_like(site) + _ROOT, _SHIFT) & 0xFFFF).to(tl.int32)
    x = _middle(site % (columns * SIDE), width, columns * SIDE)
    y = _middle(site // (columns * SIDE), height, rows * SIDE)
    block = block_of(x, y, height, width, rows, columns)
    _add(there, row, x, y, block, frame, site, _ROOT, shift, room)
    return block


@kernel
def _site(block, place, columns, SIDE: tl.constexpr):
    """Return one of the SIDE x SIDE sites of a block."""
    row = block // columns * SIDE + place // SIDE
    return row * (columns * SIDE) + block % columns * SIDE + place % SIDE


@kernel
def fill(
    table, ranks, fills, counts, thinned, calm, kept, clock, height, width, rows, columns, capacity,
    SIDE: tl.constexpr, SLOTS: tl.constexpr,
):  # fmt: skip
    """Give birth to a particle at each of the SIDE x SIDE sites of the blocks to be filled, block by block.

    And clear what is counted and marked by blocks, for the next step.
    """
    clip = tl.program_id(1)
    block = tl.program_id(0) * SLOTS + tl.arange(0, SLOTS)
    real, at = block < rows * columns, clip * rows * columns + block
    tl.store(counts + at, 0, mask=real)
    tl.store(thinned + at, 0, mask=real)
    tl.store(calm + at, 0, mask=real)
    tl.store(kept + at, 0, mask=real)
    rank = tl.load(ranks + at, mask=real, other=-1)
    first = tl.load(fills + clip * tl.num_programs(0) + tl.program_id(0)) + rank * (SIDE * SIDE)
    if tl.max(rank, 0) >= 0:
        frame = tl.load(clock + FRAME)
        for place in range(SIDE * SIDE):
            site = _site(block, place, columns, SIDE)
            at = first + place
            there = table + clip * capacity + at
            room = (rank >= 0) & (at < capacity)
            row = tl.num_programs(1) * capacity
            _bear(there, row, site, frame, height, width, rows, columns, SIDE, room)


@kernel
def restart(
    table, stops, counts, clock, height, width, rows, columns, capacity, SIDE: tl.constexpr, SLOTS: tl.constexpr
):  # fmt: skip
    """Empty the slots in use, and give birth to a particle at every site behind them, block by block."""
    clip, slot, used = slots(stops, SLOTS)
    row = tl.num_programs(1) * capacity
    stop = tl.load(stops + clip)
    tl.store(table + BLOCK * row + clip * capacity + slot, -1, mask=used)
    born = slot < rows * columns * SIDE * SIDE
    site = _site(slot // (SIDE * SIDE), slot % (SIDE * SIDE), columns, SIDE)
    at = stop + slot
    room = born & (at < capacity)
    frame = tl.load(clock + FRAME)
    there = table + clip * capacity + at
    block = _bear(there, row, site, frame, height, width, rows, columns, SIDE, room)
    tl.atomic_add(counts + clip * rows * columns + block, 1, mask=born, sem="relaxed")
