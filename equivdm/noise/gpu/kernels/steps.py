"""Kernels that carry particles one step on: one program for a run of slots, or of blocks, of one clip.

A slot holds one particle from its birth on, and is empty (block -1) once that is gone; new particles take the slots
behind the last. So the order of slots is the order of the rows of `equivdm.noise.particles`, without moving any.
"""

import triton.language as tl

from equivdm.noise.gpu.kernels import Block, Pointer, Scalar, kernel
from equivdm.noise.gpu.kernels.flow import UNKNOWN, agrees, block_of, jumps, sample, shifted
from equivdm.noise.gpu.kernels.random import hashed
from equivdm.noise.gpu.kernels.table import (
    BIRTH,
    BLOCK,
    FRAME,
    MOVE,
    PATH,
    PIXEL_BITS,
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
from equivdm.noise.particles import CROWDED
from equivdm.noise.philox import Stream

_CROWDED = tl.constexpr(CROWDED)
_THINNING = tl.constexpr(int(Stream.THINNING))


@kernel
def _frame_of(flow: Pointer, step: Scalar, clip: Scalar, steps: Scalar, height: Scalar, width: Scalar) -> Pointer:
    """Return where a clip's field of a step begins, for fields of height x width."""
    return flow + (clip.to(tl.int64) * steps + step) * height * width


@kernel
def move(
    table: Pointer, stops: Pointer, counts: Pointer, clock: Pointer, forward: Pointer, backward: Pointer, mask: Pointer,
    steps: Scalar, height: Scalar, width: Scalar, rows: Scalar, columns: Scalar, capacity: Scalar,
    TWO_WAYS: tl.constexpr, MASKED: tl.constexpr, SLOTS: tl.constexpr,
) -> None:  # fmt: skip
    """Move particles by the forward flow; empty the slots of those that are lost; count the others by blocks.

    And set the clock on.
    """
    clip, slot, used = slots(stops, SLOTS)
    step = tl.load(clock + MOVE)
    if (tl.program_id(0) == 0) & (clip == 0):
        tl.store(clock + STEP, step + 1)
        tl.store(clock + FRAME, tl.load(clock + FRAME) + 1)
    if tl.program_id(0) * SLOTS >= tl.load(stops + clip):
        return
    row = tl.num_programs(1) * capacity
    here = table + clip * capacity + slot
    live = used & (tl.load(here + BLOCK * row, mask=used, other=-1) >= 0)
    x = tl.load(here + X * row, mask=live, other=0)
    y = tl.load(here + Y * row, mask=live, other=0)
    flow = _frame_of(forward, step, clip, steps, height, width * 2)
    u, v = sample(flow, x, y, height, width, live)
    seen = live & (u != UNKNOWN)
    if MASKED:
        hides = _frame_of(mask, step, clip, steps, height, width)
        seen &= tl.load(hides + (y >> PIXEL_BITS) * width + (x >> PIXEL_BITS), mask=live, other=0) == 0
    x, y = x + u, y + v
    seen &= (x >= 0) & (x < width * PIXELS) & (y >= 0) & (y < height * PIXELS)
    if TWO_WAYS:
        back = _frame_of(backward, step, clip, steps, height, width * 2)
        seen &= agrees(back, x, y, u, v, height, width, live)
    block = block_of(x, y, height, width, rows, columns)
    tl.store(here + X * row, x, mask=seen)
    tl.store(here + Y * row, y, mask=seen)
    tl.store(here + U * row, u, mask=seen)
    tl.store(here + V * row, v, mask=seen)
    tl.store(here + BLOCK * row, tl.where(seen, block, -1), mask=used)
    tl.atomic_add(counts + clip * rows * columns + block, 1, mask=seen, sem="relaxed")


@kernel
def find_jumps(
    table: Pointer, stops: Pointer, counts: Pointer, calm: Pointer, jumped: Pointer, clock: Pointer, following: Pointer,
    steps: Scalar, height: Scalar, width: Scalar, blocks: Scalar, nominal: Scalar, capacity: Scalar,
    SLOTS: tl.constexpr,
) -> None:  # fmt: skip
    """Mark particles in crowded blocks whose velocity would jump, and count those that go on as they came."""
    clip, slot, used = slots(stops, SLOTS)
    if tl.program_id(0) * SLOTS >= tl.load(stops + clip):
        return
    row = tl.num_programs(1) * capacity
    here = table + clip * capacity + slot
    block = tl.load(here + BLOCK * row, mask=used, other=-1)
    crowd = tl.load(counts + clip * blocks + block, mask=block >= 0, other=0)
    crowded = 2 * crowd > 3 * nominal
    x = tl.load(here + X * row, mask=crowded, other=0)
    y = tl.load(here + Y * row, mask=crowded, other=0)
    u = tl.load(here + U * row, mask=crowded, other=0)
    v = tl.load(here + V * row, mask=crowded, other=0)
    flow = _frame_of(following, tl.load(clock + STEP), clip, steps, height, width * 2)
    jump = crowded & jumps(flow, x, y, u, v, height, width, crowded)
    tl.store(jumped + clip * capacity + slot, jump.to(tl.int8), mask=used)
    tl.atomic_add(calm + clip * blocks + block, 1, mask=crowded & ~jump, sem="relaxed")


@kernel
def drop_jumps(
    table: Pointer, stops: Pointer, counts: Pointer, calm: Pointer, jumped: Pointer,
    blocks: Scalar, nominal: Scalar, capacity: Scalar, SLOTS: tl.constexpr,
) -> None:  # fmt: skip
    """Empty the slots of those that jump where at least half the nominal number goes on as it came."""
    clip, slot, used = slots(stops, SLOTS)
    if tl.program_id(0) * SLOTS >= tl.load(stops + clip):
        return
    row = tl.num_programs(1) * capacity
    jump = tl.load(jumped + clip * capacity + slot, mask=used, other=0) != 0
    at = table + BLOCK * row + clip * capacity + slot
    block = tl.load(at, mask=jump, other=0)
    gone = jump & (2 * tl.load(calm + clip * blocks + block, mask=jump, other=0) >= nominal)
    tl.store(at, -1, mask=gone)
    tl.atomic_add(counts + clip * blocks + block, -1, mask=gone, sem="relaxed")


@kernel
def thin(
    table: Pointer, stops: Pointer, counts: Pointer, thinned: Pointer, clock: Pointer,
    blocks: Scalar, nominal: Scalar, capacity: Scalar, SLOTS: tl.constexpr,
) -> None:  # fmt: skip
    """Empty slots of crowded blocks by a hash of label and frame, so that about the limit remains."""
    clip, slot, used = slots(stops, SLOTS)
    if tl.program_id(0) * SLOTS >= tl.load(stops + clip):
        return
    row = tl.num_programs(1) * capacity
    here = table + clip * capacity + slot
    block = tl.load(here + BLOCK * row, mask=used, other=-1)
    crowd = tl.load(counts + clip * blocks + block, mask=block >= 0, other=0)
    limit = _CROWDED * nominal
    crowded = crowd > limit
    if tl.max(crowded.to(tl.int32), 0) > 0:
        site = tl.load(here + SITE * row, mask=crowded, other=0)
        birth = tl.load(here + BIRTH * row, mask=crowded, other=0)
        path = tl.load(here + PATH * row, mask=crowded, other=0)
        frame = tl.load(clock + FRAME).to(tl.uint32)
        bits = hashed(site, birth, path, (frame << 4) | _THINNING)
        gone = crowded & ((bits * crowd) >> 32 >= limit)
        tl.store(here + BLOCK * row, -1, mask=gone)
        tl.atomic_add(thinned + clip * blocks + block, 1, mask=gone, sem="relaxed")


@kernel
def _places(
    table: Pointer, slot: Block, clip: Scalar, used: Block,
    height: Scalar, width: Scalar, rows: Scalar, columns: Scalar, capacity: Scalar,
    HALVES: tl.constexpr, SIDE: tl.constexpr,
) -> tuple[Block, Block]:  # fmt: skip
    """Return the cells that particles lie in, -1 for an empty slot, and those that their shifts take them to."""
    row = tl.num_programs(1) * capacity
    here = table + clip * capacity + slot
    block = tl.load(here + BLOCK * row, mask=used, other=-1)
    live = block >= 0
    own = cell_of(block, columns, HALVES)
    shift = tl.load(here + SHIFT * row, mask=live, other=0)
    x = shifted(tl.load(here + X * row, mask=live, other=0), shift, width, columns * SIDE)
    y = shifted(tl.load(here + Y * row, mask=live, other=0), shift >> 8, height, rows * SIDE)
    there = block_of(x, y, height, width, rows // HALVES, columns // HALVES)
    return tl.where(live, own, -1), there


@kernel
def find_kept(
    table: Pointer, stops: Pointer, kept: Pointer,
    height: Scalar, width: Scalar, rows: Scalar, columns: Scalar, capacity: Scalar,
    HALVES: tl.constexpr, SIDE: tl.constexpr, SLOTS: tl.constexpr,
) -> None:  # fmt: skip
    """Mark the cells that keep a particle of their own."""
    clip, slot, used = slots(stops, SLOTS)
    own, there = _places(table, slot, clip, used, height, width, rows, columns, capacity, HALVES, SIDE)
    tl.store(kept + clip * rows * columns + own, 1, mask=(own >= 0) & (own == there))


@kernel
def note(
    table: Pointer, stops: Pointer, cells: Pointer, kept: Pointer, places: Pointer, clock: Pointer,
    height: Scalar, width: Scalar, rows: Scalar, columns: Scalar, capacity: Scalar,
    HALVES: tl.constexpr, SIDE: tl.constexpr, SLOTS: tl.constexpr,
) -> None:  # fmt: skip
    """Write the cell that each particle is counted in, -1 for an empty slot; see `equivdm.noise.cells.count_in`."""
    place = tl.load(places + tl.load(clock + STEP))
    clip, slot, used = slots(stops, SLOTS)
    own, there = _places(table, slot, clip, used, height, width, rows, columns, capacity, HALVES, SIDE)
    goes = tl.load(kept + clip * rows * columns + own, mask=own >= 0, other=0) > 0
    at = cells + (place.to(tl.int64) * tl.num_programs(1) + clip) * capacity + slot
    tl.store(at, tl.where(goes, there, own).to(cells.dtype.element_ty), mask=slot < capacity)
