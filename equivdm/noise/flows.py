"""Flow sampled at particles in fixed point: integer arithmetic from here on, so that every machine agrees.

A displacement is a whole number of 1/65536 px. A vector that nobody knows is `UNKNOWN` in both components.

Kernels work on a few hundred particles at a time, one simple loop after another over the innermost cache, which the
compiler turns into vector instructions. They index flat arrays: of a last dimension whose length it does not know, the
compiler takes one entry at a time.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32
from llvmlite import ir
from numba import types
from numba.core.types import Type

from equivdm.compiled import Code, Instruction, constant, fetch, instruction, kernel
from equivdm.noise.lattice import PIXEL, PIXEL_BITS
from equivdm.noise.table import BLOCK, GONE, Counts, Some, Table, U, V, X, Y

StepFlow = Float32[np.ndarray, "height width 2"]
Components = Float32[np.ndarray, " components"]
StepMask = Bool[np.ndarray, "height width"]
Size = tuple[int, int]
"""Height and width, px."""

UNKNOWN = -(1 << 31)
UNKNOWN_PX = UNKNOWN / PIXEL
"""UNKNOWN in px, twice the largest side of a frame."""
NO_FLOW = constant(np.empty((0, 0, 2), np.float32))
NO_MASK = constant(np.empty((0, 0), np.bool_))

WEIGHT_BITS = 14
HALF_WEIGHT = 1 << (WEIGHT_BITS - 1)
_AT_ONCE = 496  # particles in hand: what is read of the flow for them stays in the innermost cache
_AHEAD = 32  # particles between the one whose flow is read and the one whose flow is sent for
_LOWER = np.uint64(4 * _AT_ONCE)  # place of the first lower corner
EDGE = 45875  # 0.7 px: where the four corners differ by more, two motions meet, and a blend would be neither
CHECK_BITS = 8  # tests square displacements in 1/256 px
HALF_SQUARE = PIXEL * PIXEL >> (2 * (PIXEL_BITS - CHECK_BITS) + 1)  # 0.5 px^2 at that precision


@instruction
def _lerp(_: object, a: Type, b: Type, weight: Type) -> Instruction:
    """Return a + (b - a) * weight in 32 bits, the product rounded to the nearest; weights have 14 bits.

    Plain operators widen to 64 bits, which halves what a vector holds. Corners of one motion differ by at most 0.7 px,
    so the product fits; of others the result is not used.
    """

    def generate(_context: object, builder: ir.IRBuilder, _signature: object, arguments: Sequence[Code]) -> Code:
        start, end, share = arguments
        half, bits = (ir.Constant(start.type, number) for number in (HALF_WEIGHT, WEIGHT_BITS))
        product = builder.mul(builder.sub(end, start), share)
        return builder.add(start, builder.ashr(builder.add(product, half), bits))

    return types.int32(a, b, weight), generate


@kernel
def _fixed(component: np.float32) -> np.int32:
    """Round px to 1/65536 px, halves to even."""
    return np.int32(np.rint(component * np.float32(PIXEL)))


@kernel
def _corners_at(x: Some, y: Some, size: Size, pixel: Some, right: Some, down: Some) -> None:
    """Write the pixel up left of each position, and its weights; ~pixel where there is none to its right or below."""
    last_x, last_y = (size[1] - 1) * PIXEL, (size[0] - 1) * PIXEL
    for i in range(x.shape[0]):
        gx = min(max(x[i] - PIXEL // 2, 0), last_x)
        gy = min(max(y[i] - PIXEL // 2, 0), last_y)
        at = (gy >> PIXEL_BITS) * size[1] + (gx >> PIXEL_BITS)
        pixel[i] = ~at if (gx == last_x) | (gy == last_y) else at
        right[i] = (gx & (PIXEL - 1)) >> (PIXEL_BITS - WEIGHT_BITS)
        down[i] = (gy & (PIXEL - 1)) >> (PIXEL_BITS - WEIGHT_BITS)


@kernel
def _load_corners(flow: Components, size: Size, pixel: Some, count: int, out: Components) -> None:
    """Copy (u, v) of the four corners of each particle: the upper ones of all, then the lower ones.

    Two loads and two stores of four numbers each. The fewer numbers lie side by side, the sooner are they sorted out.
    Corners at the last row or column, where some coincide, come after: a branch in the loop costs more.
    """
    edges = 0
    for i in range(count if min(size) > 1 else 0):
        # Unsigned, which spares the test for negative indices.
        to, at = np.uint64(4 * i), np.uint64(2 * max(pixel[i], 0))
        below = at + np.uint64(2 * size[1])
        soon = np.uint64(2 * max(pixel[min(i + _AHEAD, count - 1)], 0))
        fetch(flow, soon)
        fetch(flow, soon + np.uint64(2 * size[1]))
        ua, va, ub, vb = flow[at], flow[at + np.uint64(1)], flow[at + np.uint64(2)], flow[at + np.uint64(3)]
        uc, vc = flow[below], flow[below + np.uint64(1)]
        ud, vd = flow[below + np.uint64(2)], flow[below + np.uint64(3)]
        out[to], out[to + np.uint64(1)], out[to + np.uint64(2)], out[to + np.uint64(3)] = ua, va, ub, vb
        to += _LOWER
        out[to], out[to + np.uint64(1)], out[to + np.uint64(2)], out[to + np.uint64(3)] = uc, vc, ud, vd
    for i in range(count):
        edges |= pixel[i]
    for i in range(count if edges < 0 else 0):
        if pixel[i] < 0:
            y, x = divmod(~pixel[i], size[1])
            for k in range(4):
                at = 2 * (min(y + (k >> 1), size[0] - 1) * size[1] + min(x + (k & 1), size[1] - 1))
                to = 4 * i + 2 * (k & 1) + (4 * _AT_ONCE if k > 1 else 0)
                out[to], out[to + 1] = flow[at], flow[at + 1]


@kernel
def _differ(a: np.int32, b: np.int32, c: np.int32, d: np.int32) -> np.bool_:
    # The difference of two numbers of 32 bits is right as an unsigned one.
    return np.uint32(max(a, b, c, d) - min(a, b, c, d)) > np.uint32(EDGE)


@kernel
def _pick(
    a: np.int32, b: np.int32, c: np.int32, d: np.int32, weights: tuple[np.int32, np.int32], edge: np.bool_
) -> np.int32:
    """Return the bilinear blend of the corners a b / c d, or the nearest of them at an `edge`."""
    right, down = weights
    upper = b if right >= HALF_WEIGHT else a
    lower = d if right >= HALF_WEIGHT else c
    nearest = lower if down >= HALF_WEIGHT else upper
    return nearest if edge else _lerp(_lerp(a, b, right), _lerp(c, d, right), down)


@kernel
def _blend(corners: Components, right: Some, down: Some, count: int, u: Some, v: Some) -> None:
    """Write the flow between the corners: bilinear, or of the nearest pixel at a motion boundary or a gap."""
    upper, lower = corners[: 4 * _AT_ONCE], corners[4 * _AT_ONCE :]
    for i in range(count):
        ua, va, ub, vb = upper[4 * i], upper[4 * i + 1], upper[4 * i + 2], upper[4 * i + 3]
        uc, vc, ud, vd = lower[4 * i], lower[4 * i + 1], lower[4 * i + 2], lower[4 * i + 3]
        ua, ub, uc, ud = _fixed(ua), _fixed(ub), _fixed(uc), _fixed(ud)
        va, vb, vc, vd = _fixed(va), _fixed(vb), _fixed(vc), _fixed(vd)
        edge = _differ(ua, ub, uc, ud) | _differ(va, vb, vc, vd)
        u[i] = _pick(ua, ub, uc, ud, (right[i], down[i]), edge)
        v[i] = _pick(va, vb, vc, vd, (right[i], down[i]), edge)


class _Hand(NamedTuple):
    """Space for what is read of the flow for `_AT_ONCE` particles."""

    corners: Components
    """Up to eight numbers each."""
    pixel: Some
    right: Some
    down: Some


@kernel
def _empty_hand() -> _Hand:
    pixel, right, down = np.empty(_AT_ONCE, np.int32), np.empty(_AT_ONCE, np.int32), np.empty(_AT_ONCE, np.int32)
    return _Hand(np.empty(8 * _AT_ONCE, np.float32), pixel, right, down)


@kernel
def _sample(flow: StepFlow, x: Some, y: Some, hand: _Hand, u: Some, v: Some) -> None:
    """Write the flow at these positions; those out of the frame are taken for the nearest in it."""
    size, count = (flow.shape[0], flow.shape[1]), x.shape[0]
    _corners_at(x, y, size, hand.pixel, hand.right, hand.down)
    _load_corners(flow.reshape(-1), size, hand.pixel, count, hand.corners)
    _blend(hand.corners, hand.right, hand.down, count, u, v)


@kernel
def _hide(mask: StepMask, x: Some, y: Some, block: Some) -> None:
    """Lose what lies under the mask."""
    for i in range(x.shape[0]):
        if block[i] != GONE and mask[y[i] >> PIXEL_BITS, x[i] >> PIXEL_BITS]:
            block[i] = GONE


@kernel
def _land(x: Some, y: Some, u: Some, v: Some, block: Some, size: Size, blocks: Size) -> None:
    """Move particles, and find their blocks; lose those of unknown displacement, and those that leave the frame."""
    # Exact integer division by products: numerators are below 2^45, and the half keeps each from being rounded up.
    down, right = blocks[0] / (size[0] * PIXEL), blocks[1] / (size[1] * PIXEL)
    half_row, half_column = 0.5 / blocks[0], 0.5 / blocks[1]
    for i in range(x.shape[0]):
        at_x, at_y = np.int32(x[i] + u[i]), np.int32(y[i] + v[i])
        within = (at_x >= 0) & (at_x < size[1] * PIXEL) & (at_y >= 0) & (at_y < size[0] * PIXEL)
        row, column = np.int32((at_y + half_row) * down), np.int32((at_x + half_column) * right)
        block[i] = row * blocks[1] + column if within & (u[i] != UNKNOWN) & (block[i] != GONE) else GONE
        x[i], y[i] = at_x, at_y


@kernel
def _coarse(displacement: np.int32) -> np.float64:
    """Round down to 1/256 px."""
    return np.float64(np.int32(displacement >> CHECK_BITS))


@kernel
def _far(a_u: np.float64, a_v: np.float64, b_u: np.float64, b_v: np.float64, share: tuple[int, int]) -> np.bool_:
    """Say whether share[0] (|a - b|^2 - 0.5 px^2) > share[1] (|a|^2 + |b|^2), of vectors in whole 1/256 px.

    Floating point for speed: it rounds nothing below 2^53, and what is beyond is far by any rounding.
    """
    gap_u, gap_v = a_u - b_u, a_v - b_v
    motion = a_u * a_u + a_v * a_v + b_u * b_u + b_v * b_v
    return share[0] * (gap_u * gap_u + gap_v * gap_v) > share[0] * HALF_SQUARE + share[1] * motion


@kernel
def _check(backward: StepFlow, x: Some, y: Some, u: Some, v: Some, block: Some, hand: _Hand) -> None:
    """Lose what is hidden, by the forward-backward check.

    Hidden is |f + b|^2 > 0.5 + 0.01 (|f|^2 + |b|^2), with b of the pixel that a particle landed in.
    """
    flow, found, pixel = backward.reshape(-1), hand.corners, hand.pixel
    for i in range(x.shape[0]):
        at = (y[i] >> PIXEL_BITS) * backward.shape[1] + (x[i] >> PIXEL_BITS)
        pixel[i] = at if block[i] != GONE else 0
    for i in range(x.shape[0]):
        at, to = np.uint64(2 * pixel[i]), np.uint64(2 * i)
        fetch(flow, np.uint64(2 * pixel[min(i + _AHEAD, x.shape[0] - 1)]))
        found[to], found[to + np.uint64(1)] = flow[at], flow[at + np.uint64(1)]
    for i in range(x.shape[0]):
        b_u, b_v = _fixed(found[2 * i]), _fixed(found[2 * i + 1])
        hidden = _far(_coarse(u[i]), _coarse(v[i]), -_coarse(b_u), -_coarse(b_v), (100, 1))
        block[i] = GONE if (b_u == UNKNOWN) | hidden else block[i]


@kernel
def move(
    table: Table, part: Size, forward: StepFlow, backward: StepFlow, mask: StepMask, blocks: Size, counts: Counts
) -> int:
    """Move the particles of `part` (from, to) one step on. Returns how many of them are GONE.

    Lost is what leaves the frame, has no known motion, lies under `mask` (the pixels of its old frame that the next one
    hides) or fails the forward-backward check; `NO_FLOW` and `NO_MASK` test nothing. `counts` is increased by the
    particles that land in each of the `blocks` (rows, columns).
    """
    size, hand = (forward.shape[0], forward.shape[1]), _empty_hand()
    tally = np.zeros((2, 1 + counts.shape[0]), np.int32)
    for first in range(part[0], part[1], _AT_ONCE):
        stop = min(first + _AT_ONCE, part[1])
        x, y, u, v = table[X, first:stop], table[Y, first:stop], table[U, first:stop], table[V, first:stop]
        block = table[BLOCK, first:stop]
        _sample(forward, x, y, hand, u, v)
        if mask.shape[0]:
            _hide(mask, x, y, block)
        _land(x, y, u, v, block, size, blocks)
        if backward.shape[0]:
            _check(backward, x, y, u, v, block, hand)
        _count(block, tally[0], tally[1])
    counts += tally[0, 1:] + tally[1, 1:]
    return tally[0, 0] + tally[1, 0]


@kernel
def _count(block: Some, even: Counts, odd: Counts) -> None:
    """Count block by block, and before them what is GONE: neighbours apart, as a sum waits for the last into its place.

    Without a branch, which the processor would guess wrong for those that are GONE.
    """
    last = block.shape[0] - 1
    for i in range(0, last, 2):
        even[np.uint64(block[i] + 1)] += 1
        odd[np.uint64(block[i + 1] + 1)] += 1
    if last % 2 == 0:
        even[np.uint64(block[last] + 1)] += 1


@kernel
def overtaken(table: Table, crowd: Some, following: StepFlow, blocks: int, nominal: int) -> Some:
    """Return the particles that something has moved over, by forward flow alone.

    `crowd` are all the particles of some of the lattice's `blocks`. Lost are those whose velocity would jump,
    |v' - v|^2 > 0.5 + 0.06 (|v|^2 + |v'|^2), where at least half the nominal number in their block goes on as it came:
    two motions have met, and those are the ones to be seen. Where all turn at once, as a camera may, none is hidden.
    """
    jumps = np.empty(crowd.shape[0], np.bool_)
    calm = np.zeros(blocks, np.int32)
    hand, at = _empty_hand(), np.empty((V + 1, _AT_ONCE), np.int32)
    for first in range(0, crowd.shape[0], _AT_ONCE):
        some = crowd[first : first + _AT_ONCE]
        for place, i in enumerate(some):
            at[X, place], at[Y, place] = table[X, i], table[Y, i]
        _sample(following, at[X, : some.shape[0]], at[Y, : some.shape[0]], hand, at[U], at[V])
        for place, i in enumerate(some):
            u, v, was_u, was_v = at[U, place], at[V, place], table[U, i], table[V, i]
            jump = u != UNKNOWN and _far(_coarse(u), _coarse(v), _coarse(was_u), _coarse(was_v), (50, 3))
            calm[table[BLOCK, i]] += not jump
            jumps[first + place] = jump
    lost, found = np.empty_like(crowd), 0
    for place, i in enumerate(crowd):
        if jumps[place] and 2 * calm[table[BLOCK, i]] >= nominal:
            lost[found] = i
            found += 1
    return lost[:found]
