"""Kernels that add particles: the children of those that split, and births; they take the slots behind the last."""

import triton.language as tl

from equivdm.noise.births import ROOT
from equivdm.noise.gpu.kernels import Block, Number, Pointer, Pointers, Scalar, kernel
from equivdm.noise.gpu.kernels.flow import block_of
from equivdm.noise.gpu.kernels.random import hashed
from equivdm.noise.gpu.kernels.table import (
    BIRTH,
    BLOCK,
    FRAME,
    MOVE,
    PATH,
    PIXELS,
    SHIFT,
    SITE,
    STEP,
    U,
    V,
    X,
    Y,
    cell_of,
    slots,
)
from equivdm.noise.particles import STARVED
from equivdm.noise.philox import Stream
from equivdm.noise.tracks import DEEPEST

_STARVED = tl.constexpr(STARVED)
_ROOT = tl.constexpr(ROOT)
_LAST_PATH = tl.constexpr((1 << 2 * DEEPEST) - 1)
_SHIFT = tl.constexpr(int(Stream.SHIFT))


@kernel
def _census(
    counts: Pointer, thinned: Pointer, cell: Block, real: Block, columns: Scalar, HALVES: tl.constexpr
) -> tuple[Block, Block, Block]:
    """Return the number of particles of cells, that of their fullest blocks, and how many of their blocks are empty.

    `counts` and `thinned` are those of one clip.
    """
    across = columns // HALVES
    corner = cell // across * HALVES * columns + cell % across * HALVES
    held, most, empty = tl.zeros_like(cell), tl.zeros_like(cell), tl.zeros_like(cell)
    for down in tl.static_range(HALVES):
        for right in tl.static_range(HALVES):
            at = corner + down * columns + right
            count = tl.load(counts + at, mask=real, other=1) - tl.load(thinned + at, mask=real, other=0)
            held += count
            most = tl.maximum(most, count)
            empty += (count == 0).to(tl.int32)
    return held, most, empty


@kernel
def mark_parents(
    table: Pointer, stops: Pointer, counts: Pointer, thinned: Pointer, split: Pointer, parents: Pointer,
    blocks: Scalar, columns: Scalar, per_cell: Scalar, capacity: Scalar,
    HALVES: tl.constexpr, SLOTS: tl.constexpr,
) -> None:  # fmt: skip
    """Count the particles of each program that split, and write the number of particles of their cells.

    `split` is 0 for all other cells; see `equivdm.noise.blocks.find_thin`.
    """
    clip, slot, used = slots(stops, SLOTS)
    row, area = tl.num_programs(1) * capacity, per_cell * per_cell
    here = table + clip * capacity + slot
    block = tl.load(here + BLOCK * row, mask=used, other=-1)
    live, cell = block >= 0, cell_of(block, columns, HALVES)
    held, most, empty = _census(counts + clip * blocks, thinned + clip * blocks, cell, live, columns, HALVES)
    thin = live & (2 * held < area) & (empty <= 1) & (4 * HALVES * HALVES * most <= 3 * area) & (HALVES > 1)
    tl.store(split + clip * (blocks // (HALVES * HALVES)) + cell, held, mask=thin)
    chosen = thin & (tl.load(here + PATH * row, mask=thin, other=0) <= _LAST_PATH)
    tl.store(parents + clip * tl.num_programs(0) + tl.program_id(0), tl.sum(chosen.to(tl.int32), 0))


@kernel
def _share(
    numbers: Pointer, stops: Pointer, behind: Pointer, needed: Pointer,
    each: Scalar, capacity: Scalar, CHUNK: tl.constexpr,
) -> Scalar:  # fmt: skip
    """Return the first slot behind the last in use for what this program adds, `each` times its number, in order.

    The first program writes where the slots in use end with all of it.
    """
    clip, count = tl.program_id(1), tl.num_programs(0)
    before = tl.zeros((), tl.int32)
    total = tl.zeros((), tl.int32)
    for first in range(0, count, CHUNK):
        at = first + tl.arange(0, CHUNK)
        number = tl.load(numbers + clip * count + at, mask=at < count, other=0)
        before += tl.sum(tl.where(at < tl.program_id(0), number, 0), 0)
        total += tl.sum(number, 0)
    stop = tl.load(stops + clip)
    if tl.program_id(0) == 0:
        end = stop + total * each
        tl.store(needed + clip, tl.maximum(tl.load(needed + clip), end))
        tl.store(behind + clip, tl.minimum(end, capacity))
    return stop + before * each


@kernel
def split_parents(
    table: Pointer, stops: Pointer, behind: Pointer, needed: Pointer, split: Pointer, parents: Pointer, spread: Pointer,
    counts: Pointer,
    height: Scalar, width: Scalar, rows: Scalar, columns: Scalar, capacity: Scalar,
    HALVES: tl.constexpr, SLOTS: tl.constexpr, CHUNK: tl.constexpr,
) -> None:  # fmt: skip
    """Put four children in the place of each parent."""
    clip, slot, used = slots(stops, SLOTS)
    own = tl.load(parents + clip * tl.num_programs(0) + tl.program_id(0))
    if (own > 0) | (tl.program_id(0) == 0):
        first = _share(parents, stops, behind, needed, 4, capacity, CHUNK)
        row, blocks = tl.num_programs(1) * capacity, rows * columns
        here = table + clip * capacity + slot
        was = tl.load(here + BLOCK * row, mask=used, other=-1)
        cells = split + clip * (blocks // (HALVES * HALVES))
        held = tl.load(cells + cell_of(was, columns, HALVES), mask=was >= 0, other=0)
        path = tl.load(here + PATH * row, mask=held > 0, other=0)
        chosen = (held > 0) & (path <= _LAST_PATH)
        first += 4 * (tl.cumsum(chosen.to(tl.int32), 0) - chosen.to(tl.int32))
        tl.atomic_add(counts + clip * blocks + was, -1, mask=chosen, sem="relaxed")
        tl.store(here + BLOCK * row, -1, mask=chosen)
        down = tl.load(spread + 2 * held, mask=chosen, other=0)
        right = tl.load(spread + 2 * held + 1, mask=chosen, other=0)
        x = tl.load(here + X * row, mask=chosen, other=0)
        y = tl.load(here + Y * row, mask=chosen, other=0)
        birth = tl.load(here + BIRTH * row, mask=chosen, other=0)
        site = tl.load(here + SITE * row, mask=chosen, other=0)
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
def find_bare(
    counts: Pointer, thinned: Pointer, split: Pointer, ranks: Pointer, fills: Pointer,
    rows: Scalar, columns: Scalar, HALVES: tl.constexpr, SLOTS: tl.constexpr,
) -> None:  # fmt: skip
    """Find the blocks to be filled, after the splits; see `equivdm.noise.blocks.find_bare`.

    Writes the place of a block among those of its program that are filled, else -1; and the number of those.
    """
    clip, blocks = tl.program_id(1), rows * columns
    block = tl.program_id(0) * SLOTS + tl.arange(0, SLOTS)
    real, cell = block < blocks, cell_of(block, columns, HALVES)
    held, _, _ = _census(counts + clip * blocks, thinned + clip * blocks, cell, real, columns, HALVES)
    waits = tl.load(split + clip * (blocks // (HALVES * HALVES)) + cell, mask=real, other=0) > 0
    at = clip * blocks + block
    own = tl.load(counts + at, mask=real, other=1) - tl.load(thinned + at, mask=real, other=0)
    bare = (real & (own == 0) & (held < _STARVED) & ~waits).to(tl.int32)
    tl.store(ranks + at, tl.where(bare > 0, tl.cumsum(bare, 0) - 1, -1), mask=real)
    tl.store(fills + clip * tl.num_programs(0) + tl.program_id(0), tl.sum(bare, 0))


@kernel
def _add(
    there: Pointers, row: Scalar, x: Block, y: Block, block: Block,
    birth: Number, site: Block, path: Number, shift: Block, room: Block,
) -> None:  # fmt: skip
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
def _middle(site: Block, pixels: Scalar, sites: Scalar) -> Block:
    return ((2 * site.to(tl.int64) + 1) * (pixels * PIXELS) // (2 * sites)).to(tl.int32)


@kernel
def _bear(
    there: Pointers, row: Scalar, site: Block, frame: Scalar,
    height: Scalar, width: Scalar, rows: Scalar, columns: Scalar, SIDE: tl.constexpr, room: Block,
) -> Block:  # fmt: skip
    """Add a particle in the middle of each site, with a hash of its label for its shift; return the blocks."""
    shift = (hashed(site, tl.zeros_like(site) + frame, tl.zeros_like(site) + _ROOT, _SHIFT) & 0xFFFF).to(tl.int32)
    x = _middle(site % (columns * SIDE), width, columns * SIDE)
    y = _middle(site // (columns * SIDE), height, rows * SIDE)
    block = block_of(x, y, height, width, rows, columns)
    _add(there, row, x, y, block, frame, site, _ROOT, shift, room)
    return block


@kernel
def _site(block: Block, place: Number, columns: Scalar, SIDE: tl.constexpr) -> Block:
    """Return one of the SIDE x SIDE sites of a block."""
    row = block // columns * SIDE + place // SIDE
    return row * (columns * SIDE) + block % columns * SIDE + place % SIDE


@kernel
def fill(
    table: Pointer, behind: Pointer, stops: Pointer, needed: Pointer, ranks: Pointer, fills: Pointer, counts: Pointer,
    thinned: Pointer, calm: Pointer, kept: Pointer, split: Pointer, clock: Pointer,
    height: Scalar, width: Scalar, rows: Scalar, columns: Scalar, capacity: Scalar,
    HALVES: tl.constexpr, SIDE: tl.constexpr, SLOTS: tl.constexpr, CHUNK: tl.constexpr,
) -> None:  # fmt: skip
    """Give birth to a particle at each of the SIDE x SIDE sites of the blocks to be filled, block by block.

    And clear what is counted and marked by blocks and cells, for the next step.
    """
    clip, blocks = tl.program_id(1), rows * columns
    block = tl.program_id(0) * SLOTS + tl.arange(0, SLOTS)
    real, at = block < blocks, clip * blocks + block
    tl.store(counts + at, 0, mask=real)
    tl.store(thinned + at, 0, mask=real)
    tl.store(calm + at, 0, mask=real)
    tl.store(kept + at, 0, mask=real)
    cells = split + clip * (blocks // (HALVES * HALVES))
    tl.store(cells + cell_of(block, columns, HALVES), 0, mask=real)
    if (tl.program_id(0) == 0) & (clip == 0):
        tl.store(clock + MOVE, tl.load(clock + STEP))
    own = tl.load(fills + clip * tl.num_programs(0) + tl.program_id(0))
    if (own > 0) | (tl.program_id(0) == 0):
        rank = tl.load(ranks + at, mask=real, other=-1)
        first = _share(fills, behind, stops, needed, SIDE * SIDE, capacity, CHUNK) + rank * (SIDE * SIDE)
        frame = tl.load(clock + FRAME)
        for place in range(SIDE * SIDE):
            site = _site(block, place, columns, SIDE)
            there = table + clip * capacity + first + place
            room = (rank >= 0) & (first + place < capacity)
            row = tl.num_programs(1) * capacity
            _bear(there, row, site, frame, height, width, rows, columns, SIDE, room)


@kernel
def restart(
    table: Pointer, stops: Pointer, counts: Pointer, clock: Pointer,
    height: Scalar, width: Scalar, rows: Scalar, columns: Scalar, capacity: Scalar,
    SIDE: tl.constexpr, SLOTS: tl.constexpr,
) -> None:  # fmt: skip
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
