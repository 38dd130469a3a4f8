"""Kernels that draw noise for the labels of a plan: sums in whole numbers, so that no order of additions matters."""

import triton.language as tl

from equivdm.noise.gpu.kernels import Block, Pointer, Pointers, Scalar, kernel
from equivdm.noise.gpu.kernels.random import depth_of, normals_of, philox, values
from equivdm.noise.philox import GROUP_SHIFT, Stream
from equivdm.noise.tracks import DEEPEST

_DEEPEST = tl.constexpr(DEEPEST)
_TOGETHER = tl.constexpr(4)  # a block of 4 x 4 particles a cell, a row of a block of 8 x 8
_GROUP_SHIFT = tl.constexpr(GROUP_SHIFT)
_INDEPENDENT = tl.constexpr(int(Stream.INDEPENDENT))


@kernel
def _cells_of(cells: Pointer, frame: Scalar, clip: Scalar, clips: Scalar, capacity: Scalar, slot: Block) -> Block:
    at = cells + (frame.to(tl.int64) * clips + clip) * capacity + slot
    return tl.load(at, mask=slot < capacity, other=-1).to(tl.int32)


@kernel
def add_weights(
    paths: Pointer, cells: Pointer, weights: Pointer,
    frames: Scalar, grid_cells: Scalar, capacity: Scalar, SLOTS: tl.constexpr,
) -> None:  # fmt: skip
    """Add each particle's squared weight to the cell that it lies in, in units of 4^-DEEPEST."""
    frame, clip, clips = tl.program_id(1), tl.program_id(2), tl.num_programs(2)
    slot = tl.program_id(0) * SLOTS + tl.arange(0, SLOTS)
    cell = _cells_of(cells, frame, clip, clips, capacity, slot)
    held = cell >= 0
    depth = depth_of(tl.load(paths + clip * capacity + slot, mask=held, other=0))
    at = weights + (clip.to(tl.int64) * frames + frame) * grid_cells + cell
    one = tl.full(depth.shape, 1, tl.int32)
    tl.atomic_add(at, one << (2 * (-depth + _DEEPEST)), mask=held, sem="relaxed")


@kernel
def _packed(low: Block, high: Block, depth: Block) -> Block:
    return ((high.to(tl.int64) << 32) + low) << (-depth + _DEEPEST).to(tl.int64)


@kernel
def add_values(
    births: Pointer, sites: Pointer, paths: Pointer, cells: Pointer, keys: Pointer, table: Pointer, sums: Pointer,
    frames: Scalar, grid_cells: Scalar, capacity: Scalar, SLOTS: tl.constexpr,
) -> None:  # fmt: skip
    """Add each particle's values of a group of channels to its cell in every emitted frame.

    `sums`, of shape (clips, frames, groups, cells, 4), holds the sums of two channels in each number of 64 bits. Slots
    in a row hold neighbours, born side by side: where a few of them lie in one cell, their sum is added at once.
    """
    group, clip = tl.program_id(1), tl.program_id(2)
    groups, clips = tl.num_programs(1), tl.num_programs(2)
    slot = tl.program_id(0) * SLOTS + tl.arange(0, SLOTS)
    real = slot < capacity
    at = clip * capacity + slot
    site = tl.load(sites + at, mask=real, other=0)
    birth = tl.load(births + at, mask=real, other=0)
    path = tl.load(paths + at, mask=real, other=0)
    if tl.max(path, 0) == 0:  # slots that never held a particle
        return
    k0, k1 = tl.load(keys + 2 * clip).to(tl.uint32), tl.load(keys + 2 * clip + 1).to(tl.uint32)
    last = (group << _GROUP_SHIFT).to(tl.uint32)
    v0, v1, v2, v3, v4, v5, v6, v7, depth = values(site, birth, path, last, k0, k1, table)
    s0, s1 = _packed(v0, v1, depth), _packed(v2, v3, depth)
    s2, s3 = _packed(v4, v5, depth), _packed(v6, v7, depth)
    t0, t1 = _sum_neighbours(s0, SLOTS), _sum_neighbours(s1, SLOTS)
    t2, t3 = _sum_neighbours(s2, SLOTS), _sum_neighbours(s3, SLOTS)
    for frame in range(frames):
        cell = _cells_of(cells, tl.zeros_like(group) + frame, clip, clips, capacity, slot)
        row = (clip.to(tl.int64) * frames + frame) * groups + group
        into = sums + row * grid_cells * 4
        few = tl.reshape(cell, (SLOTS // _TOGETHER, _TOGETHER))
        shared = tl.max(few, 1)
        together = (tl.min(few, 1) == shared) & (shared >= 0)
        _add_four(into + shared * 4, t0, t1, t2, t3, together)
        alone = tl.broadcast_to((~together)[:, None], (SLOTS // _TOGETHER, _TOGETHER))
        _add_four(into + cell * 4, s0, s1, s2, s3, (cell >= 0) & tl.reshape(alone, (SLOTS,)))


@kernel
def _sum_neighbours(each: Block, SLOTS: tl.constexpr) -> Block:
    return tl.sum(tl.reshape(each, (SLOTS // _TOGETHER, _TOGETHER)), 1)


@kernel
def _add_four(into: Pointers, a: Block, b: Block, c: Block, d: Block, mask: Block) -> None:
    tl.atomic_add(into, a, mask=mask, sem="relaxed")
    tl.atomic_add(into + 1, b, mask=mask, sem="relaxed")
    tl.atomic_add(into + 2, c, mask=mask, sem="relaxed")
    tl.atomic_add(into + 3, d, mask=mask, sem="relaxed")


@kernel
def write_noise(
    sums: Pointer, scale: Pointer, numbers: Pointer, keys: Pointer, table: Pointer, out: Pointer,
    frames: Scalar, channels: Scalar, grid_cells: Scalar, share: Scalar, fresh_share: Scalar,
    MIXED: tl.constexpr, CELLS: tl.constexpr,
) -> None:  # fmt: skip
    """Write a group of channels of a frame: `share` times the scaled sums plus `fresh_share` times fresh normals."""
    row, clip = tl.program_id(1), tl.program_id(2)
    groups = tl.num_programs(1) // frames
    frame, group = row // groups, row % groups
    cell = tl.program_id(0) * CELLS + tl.arange(0, CELLS)
    real = cell < grid_cells
    place = clip.to(tl.int64) * frames + frame
    unit = tl.load(scale + place * grid_cells + cell, mask=real, other=0.0)
    a, b, c, d = cell, cell, cell, cell
    if MIXED:
        word = cell.to(tl.uint32)
        zero = tl.zeros_like(word)
        number = zero + tl.load(numbers + frame).to(tl.uint32)
        last = zero + ((group << _GROUP_SHIFT) | _INDEPENDENT).to(tl.uint32)
        k0, k1 = tl.load(keys + 2 * clip).to(tl.uint32), tl.load(keys + 2 * clip + 1).to(tl.uint32)
        a, b, c, d = philox(word, number, zero, last, zero + k0, zero + k1)
    words = (a, b, c, d)
    for lane in tl.static_range(4):
        total = tl.load(sums + ((place * groups + group) * grid_cells + cell) * 4 + lane, mask=real, other=0)
        low = total.to(tl.int32)
        high = ((total - low) >> 32).to(tl.int32)
        if MIXED:
            fresh_low, fresh_high = normals_of(words[lane], table)
            warped_low = low.to(tl.float32) * unit * share + fresh_low.to(tl.float32) * fresh_share
            warped_high = high.to(tl.float32) * unit * share + fresh_high.to(tl.float32) * fresh_share
        else:
            warped_low = low.to(tl.float32) * unit * share
            warped_high = high.to(tl.float32) * unit * share
        channel = tl.zeros_like(cell) + group * 8 + 2 * lane
        at = out + (place * channels + channel) * grid_cells + cell
        tl.store(at, warped_low, mask=real & (channel < channels))
        tl.store(at + grid_cells, warped_high, mask=real & (channel + 1 < channels))
