"""Flow in fixed point, sampled at particles: integer arithmetic from here on, so that every machine agrees.

A displacement is a whole number of 1/65536 px. A vector that nobody knows is `UNKNOWN` in both components.
"""

import numpy as np
from jaxtyping import Bool, Float32, Int32

from equivdm.noise.compiled import Integer, kernel
from equivdm.noise.lattice import PIXEL, PIXEL_BITS

FixedFlow = Int32[np.ndarray, "height width 2"]
StepFlow = Float32[np.ndarray, "height width 2"]
StepMask = Bool[np.ndarray, "height width"]
Table = Int32[np.ndarray, "9 capacity"]
Counts = Int32[np.ndarray, " blocks"]
Displacements = Int32[np.ndarray, "2 n"]

UNKNOWN = -(1 << 31)
X, Y, U, V, BLOCK, BIRTH, SITE, PATH, TRACK = range(9)
"""Rows of a table of particles; `equivdm.noise.particles` says what they hold."""

_WEIGHT_BITS = 14
_HALF_WEIGHT = 1 << (_WEIGHT_BITS - 1)
_AT_ONCE = 1024  # particles whose displacements are held at a time, in the innermost cache
_EDGE = 45875  # 0.7 px: where the four corners differ by more, two motions meet, and a blend would be neither
_CHECK_BITS = 8  # tests square displacements in 1/256 px, so that they fit into 64 bits
_HALF_SQUARE = PIXEL * PIXEL >> (2 * (PIXEL_BITS - _CHECK_BITS) + 1)  # 0.5 px^2 at that precision


@kernel
def to_fixed(flow: StepFlow, out: FixedFlow) -> int:
    """Round px to 1/65536 px, halves to even. Returns the number of components that are not finite or leave any frame.

    Those are rounded to anything; `mark_unknown` puts them right.
    """
    height, width, _ = flow.shape
    wild = 0
    for y in range(height):
        for x in range(width):
            u, v = flow[y, x, 0], flow[y, x, 1]
            out[y, x, 0] = np.int32(np.rint(u * np.float32(PIXEL)))
            out[y, x, 1] = np.int32(np.rint(v * np.float32(PIXEL)))
            wild += not abs(u) <= width
            wild += not abs(v) <= height
    return wild


@kernel
def mark_unknown(flow: StepFlow, out: FixedFlow) -> None:
    """Set vectors that are not finite or longer than the frame to UNKNOWN."""
    height, width, _ = flow.shape
    for y in range(height):
        for x in range(width):
            if not (abs(flow[y, x, 0]) <= width and abs(flow[y, x, 1]) <= height):
                out[y, x, 0] = UNKNOWN
                out[y, x, 1] = UNKNOWN


@kernel
def _blend(a: Integer, b: Integer, c: Integer, d: Integer, right: Integer, down: Integer) -> Integer:
    """Return the bilinear blend of the corners a b / c d with weights of 14 bits, each step rounded to the nearest.

    Corners of one motion differ by at most 0.7 px, so the products fit into 32 bits.
    """
    upper = a + (((b - a) * right + _HALF_WEIGHT) >> _WEIGHT_BITS)
    lower = c + (((d - c) * right + _HALF_WEIGHT) >> _WEIGHT_BITS)
    return upper + (((lower - upper) * down + _HALF_WEIGHT) >> _WEIGHT_BITS)


@kernel
def _sample(flow: FixedFlow, x: Integer, y: Integer) -> tuple[Integer, Integer]:
    """Return the flow (u, v) at a position: bilinear, or of the nearest pixel at a motion boundary or a gap."""
    height, width, _ = flow.shape
    gx = min(max(x - PIXEL // 2, 0), (width - 1) * PIXEL)
    gy = min(max(y - PIXEL // 2, 0), (height - 1) * PIXEL)
    # Unsigned, which spares the test for negative indices.
    x0, y0 = np.uint64(gx >> PIXEL_BITS), np.uint64(gy >> PIXEL_BITS)
    x1, y1 = min(x0 + np.uint64(1), np.uint64(width - 1)), min(y0 + np.uint64(1), np.uint64(height - 1))
    right = (gx & (PIXEL - 1)) >> (PIXEL_BITS - _WEIGHT_BITS)
    down = (gy & (PIXEL - 1)) >> (PIXEL_BITS - _WEIGHT_BITS)
    ua, va = np.int64(flow[y0, x0, 0]), np.int64(flow[y0, x0, 1])
    ub, vb = np.int64(flow[y0, x1, 0]), np.int64(flow[y0, x1, 1])
    uc, vc = np.int64(flow[y1, x0, 0]), np.int64(flow[y1, x0, 1])
    ud, vd = np.int64(flow[y1, x1, 0]), np.int64(flow[y1, x1, 1])
    spread_u = max(ua, ub, uc, ud) - min(ua, ub, uc, ud)
    spread_v = max(va, vb, vc, vd) - min(va, vb, vc, vd)
    if max(spread_u, spread_v) > _EDGE:
        nearest_x = x1 if right >= _HALF_WEIGHT else x0
        nearest_y = y1 if down >= _HALF_WEIGHT else y0
        return np.int64(flow[nearest_y, nearest_x, 0]), np.int64(flow[nearest_y, nearest_x, 1])
    return _blend(ua, ub, uc, ud, right, down), _blend(va, vb, vc, vd, right, down)


@kernel
def _displace(table: Table, first: int, count: int, forward: FixedFlow, mask: StepMask, by: Displacements) -> None:
    """Write the displacements of `count` particles; UNKNOWN for those under the mask."""
    for i in range(count):
        x, y = np.int64(table[X, first + i]), np.int64(table[Y, first + i])
        u, v = _sample(forward, x, y)
        if mask.shape[0] and mask[y >> PIXEL_BITS, x >> PIXEL_BITS]:
            u = UNKNOWN
        by[0, i] = u
        by[1, i] = v


@kernel
def _check(
    table: Table,
    first: int,
    count: int,
    by: Displacements,
    backward: FixedFlow,
    seen: Bool[np.ndarray, " n"],
) -> None:
    """Say which of `count` particles are seen where they land, in the frame and by the forward-backward check.

    Hidden is |f + b|^2 > 0.5 + 0.01 (|f|^2 + |b|^2), with b of the pixel that they land in.
    """
    height, width, _ = backward.shape
    for i in range(count):
        u, v = np.int64(by[0, i]), np.int64(by[1, i])
        x, y = table[X, first + i] + u, table[Y, first + i] + v
        seen[i] = (x >= 0) & (x < width * PIXEL) & (y >= 0) & (y < height * PIXEL)
        row = np.uint64(min(max(y, 0), height * PIXEL - 1) >> PIXEL_BITS)
        column = np.uint64(min(max(x, 0), width * PIXEL - 1) >> PIXEL_BITS)
        bu, bv = np.int64(backward[row, column, 0]), np.int64(backward[row, column, 1])
        known = bu != UNKNOWN
        bu, bv, u, v = bu >> _CHECK_BITS, bv >> _CHECK_BITS, u >> _CHECK_BITS, v >> _CHECK_BITS
        gap_u, gap_v = u + bu, v + bv
        motion = u * u + v * v + bu * bu + bv * bv
        seen[i] &= known & (100 * (gap_u * gap_u + gap_v * gap_v) <= 100 * _HALF_SQUARE + motion)


@kernel
def _land(
    table: Table,
    tracks: tuple[int, int, int],
    by: Displacements,
    seen: Bool[np.ndarray, " n"],
    size: tuple[int, int],
    blocks: tuple[int, int],
    counts: Counts,
) -> int:
    """Move the particles `tracks` (from, number) that are seen and in the frame to rows from `tracks[2]` on."""
    first, count, kept = tracks
    # Exact integer division, made of float64 products for speed: numerators are below 2^45, and the half keeps each
    # product farther from a whole number than it can be rounded.
    down, right = blocks[0] / (size[0] * PIXEL), blocks[1] / (size[1] * PIXEL)
    half_row, half_column = 0.5 / blocks[0], 0.5 / blocks[1]
    for j in range(count):
        i = first + j
        u, v = np.int64(by[0, j]), np.int64(by[1, j])
        x, y = table[X, i] + u, table[Y, i] + v
        if not seen[j] or u == UNKNOWN or x < 0 or x >= size[1] * PIXEL or y < 0 or y >= size[0] * PIXEL:
            continue
        block = int((y + half_row) * down) * blocks[1] + int((x + half_column) * right)
        table[X, kept], table[Y, kept] = x, y
        table[U, kept], table[V, kept] = u, v
        table[BLOCK, kept] = block
        if kept != i:
            table[BIRTH, kept], table[SITE, kept] = table[BIRTH, i], table[SITE, i]
            table[PATH, kept], table[TRACK, kept] = table[PATH, i], table[TRACK, i]
        counts[block] += 1
        kept += 1
    return kept


@kernel
def move(
    table: Table,
    first: int,
    stop: int,
    forward: FixedFlow,
    backward: FixedFlow,
    mask: StepMask,
    blocks: tuple[int, int],
    counts: Counts,
) -> int:
    """Move the particles `first` to `stop` one step on and close the gaps that lost ones leave. Returns the new stop.

    Lost is what leaves the frame, has no known motion, lies under `mask` (the pixels of its old frame that the next one
    hides) or fails the forward-backward check; `backward` and `mask` without rows test nothing. `counts` is
    increased by the particles that land in each of the `blocks` (rows, columns).
    """
    size = forward.shape[0], forward.shape[1]
    by, seen = np.empty((2, _AT_ONCE), np.int32), np.ones(_AT_ONCE, np.bool_)
    kept = first
    for begin in range(first, stop, _AT_ONCE):
        count = min(_AT_ONCE, stop - begin)
        _displace(table, begin, count, forward, mask, by)
        if backward.shape[0]:
            _check(table, begin, count, by, backward, seen)
        kept = _land(table, (begin, count, kept), by, seen, size, blocks, counts)
    return kept


@kernel
def compact(table: Table, stop: int, keep: Bool[np.ndarray, " particles"], counts: Counts) -> int:
    """Close the gaps of those that are not kept, and take them off the counts. Returns the new stop."""
    first = 0
    while first < stop and keep[first]:
        first += 1
    for i in range(first, stop):
        if not keep[i]:
            counts[table[BLOCK, i]] -= 1
    kept = first
    for row in range(table.shape[0]):
        kept = first
        for i in range(first, stop):
            table[row, kept] = table[row, i]
            kept += keep[i]
    return kept


@kernel
def judge(
    counts: Counts,
    blocks: tuple[int, int],
    halves: int,
    per_cell: int,
    split: Bool[np.ndarray, " cells"],
    bare: Bool[np.ndarray, " blocks"],
    starved: int,
) -> tuple[int, int]:
    """Mark the cells whose particles shall split and the blocks to be filled; return how many of each.

    A cell that has lost half its particles to enlargement splits: it is thin all over, with at most one block in four
    empty and none above three quarters of its initial number. A cell that is bare on one side is being uncovered: its
    empty blocks are filled where it holds fewer than `starved` particles. A cell that is one block does not tell, and
    is filled only.
    """
    splits = fills = 0
    columns = blocks[1] // halves
    for cell in range(split.shape[0]):
        corner = cell // columns * halves * blocks[1] + cell % columns * halves
        held = most = empty = 0
        for down in range(halves):
            for right in range(halves):
                count = counts[corner + down * blocks[1] + right]
                held += count
                most = max(most, count)
                empty += count == 0
        thin = 2 * held < per_cell * per_cell and empty <= 1 and 4 * halves * halves * most <= 3 * per_cell * per_cell
        split[cell] = halves > 1 and thin
        splits += split[cell]
        for down in range(halves):
            for right in range(halves):
                block = corner + down * blocks[1] + right
                bare[block] = counts[block] == 0 and held < starved and not split[cell]
                fills += bare[block]
    return splits, fills


@kernel
def overtaken(
    table: Table, stop: int, following: FixedFlow, counts: Counts, nominal: int
) -> Bool[np.ndarray, " particles"]:
    """Say which particles something has moved over, by forward flow alone.

    Its velocity would jump, |v' - v|^2 > 0.5 + 0.06 (|v|^2 + |v'|^2), its block holds more than 1.5 times the nominal
    number, and at least half the nominal number in there goes on as it came: two motions have met, and those are the
    ones to be seen. Where all turn at once, as a camera may, none is hidden.
    """
    jumps = np.zeros(stop, np.bool_)
    calm = np.zeros(counts.shape[0], np.int32)
    for i in range(stop):
        block = table[BLOCK, i]
        if 2 * counts[block] > 3 * nominal:
            jumps[i] = _jumps(following, table[X, i], table[Y, i], table[U, i], table[V, i])
            calm[block] += not jumps[i]
    for i in range(stop):
        jumps[i] = jumps[i] and 2 * calm[table[BLOCK, i]] >= nominal
    return jumps


@kernel
def _jumps(following: FixedFlow, x: Integer, y: Integer, was_u: Integer, was_v: Integer) -> bool:
    u, v = _sample(following, np.int64(x), np.int64(y))
    if u == UNKNOWN:
        return False
    u, v, was_u, was_v = u >> _CHECK_BITS, v >> _CHECK_BITS, was_u >> _CHECK_BITS, was_v >> _CHECK_BITS
    jump_u, jump_v = u - was_u, v - was_v
    motion = u * u + v * v + was_u * was_u + was_v * was_v
    return 50 * (jump_u * jump_u + jump_v * jump_v) > 50 * _HALF_SQUARE + 3 * motion


@kernel
def places(x: np.ndarray, y: np.ndarray, size: tuple[int, int], blocks: tuple[int, int]) -> np.ndarray:
    """Return the row-major block of each position, for blocks (rows, columns) over a frame of `size` px; see `move`."""
    out = np.empty(x.shape[0], np.int32)
    per_row, per_column = 1 / (size[0] * PIXEL), 1 / (size[1] * PIXEL)
    for i in range(x.shape[0]):
        row = int((np.int64(y[i]) * blocks[0] + 0.5) * per_row)
        out[i] = row * blocks[1] + int((np.int64(x[i]) * blocks[1] + 0.5) * per_column)
    return out
