"""Flow sampled at particles on a GPU: the fixed point of `equivdm.noise.flows`, rounded on the way."""

import triton.language as tl

from equivdm.noise import flows
from equivdm.noise.gpu.kernels import Block, Pointer, Scalar, kernel
from equivdm.noise.lattice import PIXEL, PIXEL_BITS

_BITS = tl.constexpr(PIXEL_BITS)
_PIXEL = tl.constexpr(PIXEL)
_WEIGHT = tl.constexpr(flows.WEIGHT_BITS)
_HALF_WEIGHT = tl.constexpr(flows.HALF_WEIGHT)
_EDGE = tl.constexpr(flows.EDGE)
_CHECK = tl.constexpr(flows.CHECK_BITS)
_HALF_SQUARE = tl.constexpr(flows.HALF_SQUARE)
UNKNOWN = tl.constexpr(flows.UNKNOWN)


@kernel
def _fixed(pixels: Block, known: Block) -> Block:
    """Round px to 1/65536 px, halves to even."""
    scaled = tl.where(known, pixels, 0.0) * 65536.0
    floor = tl.floor(scaled)
    part = scaled - floor
    whole = floor.to(tl.int32)
    up = (part > 0.5) | ((part == 0.5) & ((whole & 1) == 1))
    return tl.where(known, whole + up.to(tl.int32), UNKNOWN)


@kernel
def vector(flow: Pointer, row: Block, column: Block, height: Scalar, width: Scalar, live: Block) -> tuple[Block, Block]:
    """Return the vector (u, v) of a pixel; UNKNOWN where it is not finite or longer than the frame."""
    at = flow + 2 * (row * width + column)
    u = tl.load(at, mask=live, other=0.0)
    v = tl.load(at + 1, mask=live, other=0.0)
    known = (tl.abs(u) <= width) & (tl.abs(v) <= height)
    return _fixed(u, known), _fixed(v, known)


@kernel
def _blend(a: Block, b: Block, c: Block, d: Block, right: Block, down: Block) -> Block:
    upper = a + (((b - a) * right + _HALF_WEIGHT) >> _WEIGHT)
    lower = c + (((d - c) * right + _HALF_WEIGHT) >> _WEIGHT)
    return upper + (((lower - upper) * down + _HALF_WEIGHT) >> _WEIGHT)


@kernel
def _spread(a: Block, b: Block, c: Block, d: Block) -> Block:
    """Return the largest difference of four corners, in 64 bits: one may be UNKNOWN."""
    most = tl.maximum(tl.maximum(a, b), tl.maximum(c, d))
    least = tl.minimum(tl.minimum(a, b), tl.minimum(c, d))
    return most.to(tl.int64) - least.to(tl.int64)


@kernel
def sample(flow: Pointer, x: Block, y: Block, height: Scalar, width: Scalar, live: Block) -> tuple[Block, Block]:
    """Return the flow (u, v) at positions: bilinear, or of the nearest pixel at a motion boundary or a gap."""
    gx = tl.minimum(tl.maximum(x - _PIXEL // 2, 0), (width - 1) * _PIXEL)
    gy = tl.minimum(tl.maximum(y - _PIXEL // 2, 0), (height - 1) * _PIXEL)
    x0, y0 = gx >> _BITS, gy >> _BITS
    x1, y1 = tl.minimum(x0 + 1, width - 1), tl.minimum(y0 + 1, height - 1)
    right = (gx & (_PIXEL - 1)) >> (_BITS - _WEIGHT)
    down = (gy & (_PIXEL - 1)) >> (_BITS - _WEIGHT)
    ua, va = vector(flow, y0, x0, height, width, live)
    ub, vb = vector(flow, y0, x1, height, width, live)
    uc, vc = vector(flow, y1, x0, height, width, live)
    ud, vd = vector(flow, y1, x1, height, width, live)
    edge = (_spread(ua, ub, uc, ud) > _EDGE) | (_spread(va, vb, vc, vd) > _EDGE)
    to_right, to_down = right >= _HALF_WEIGHT, down >= _HALF_WEIGHT
    near_u = tl.where(to_down, tl.where(to_right, ud, uc), tl.where(to_right, ub, ua))
    near_v = tl.where(to_down, tl.where(to_right, vd, vc), tl.where(to_right, vb, va))
    u = tl.where(edge, near_u, _blend(ua, ub, uc, ud, right, down))
    v = tl.where(edge, near_v, _blend(va, vb, vc, vd, right, down))
    return u, v


@kernel
def agrees(
    backward: Pointer, x: Block, y: Block, u: Block, v: Block, height: Scalar, width: Scalar, live: Block
) -> Block:
    """Say whether the backward flow where particles land leads back: the forward-backward check."""
    row = tl.minimum(tl.maximum(y, 0), height * _PIXEL - 1) >> _BITS
    column = tl.minimum(tl.maximum(x, 0), width * _PIXEL - 1) >> _BITS
    back_u, back_v = vector(backward, row, column, height, width, live)
    known = back_u != UNKNOWN
    bu, bv = (back_u >> _CHECK).to(tl.int64), (back_v >> _CHECK).to(tl.int64)
    fu, fv = (u >> _CHECK).to(tl.int64), (v >> _CHECK).to(tl.int64)
    gap_u, gap_v = fu + bu, fv + bv
    motion = fu * fu + fv * fv + bu * bu + bv * bv
    return known & (100 * (gap_u * gap_u + gap_v * gap_v) <= motion + 100 * _HALF_SQUARE)


@kernel
def jumps(
    following: Pointer, x: Block, y: Block, was_u: Block, was_v: Block, height: Scalar, width: Scalar, live: Block
) -> Block:
    """Say whether the velocity would jump in the next step."""
    next_u, next_v = sample(following, x, y, height, width, live)
    u, v = (next_u >> _CHECK).to(tl.int64), (next_v >> _CHECK).to(tl.int64)
    was_u, was_v = (was_u >> _CHECK).to(tl.int64), (was_v >> _CHECK).to(tl.int64)
    jump_u, jump_v = u - was_u, v - was_v
    motion = u * u + v * v + was_u * was_u + was_v * was_v
    jumped = 50 * (jump_u * jump_u + jump_v * jump_v) > 3 * motion + 50 * _HALF_SQUARE
    return jumped & (next_u != UNKNOWN)


@kernel
def shifted(at: Block, bits: Block, pixels: Scalar, sites: Scalar) -> Block:
    """Return a coordinate off its place by a shift; see `Lattice.units`."""
    last = pixels * _PIXEL - 1
    return tl.minimum(tl.maximum(at + (2 * (bits & 255) - 255) * ((last + 1) // (512 * sites)), 0), last)


@kernel
def block_of(x: Block, y: Block, height: Scalar, width: Scalar, rows: Scalar, columns: Scalar) -> Block:
    """Return the row-major block of positions in the frame: whole numbers throughout, floor(y rows / height)."""
    row = ((y.to(tl.int64) * rows) >> _BITS).to(tl.int32) // height
    column = ((x.to(tl.int64) * columns) >> _BITS).to(tl.int32) // width
    return row * columns + column
