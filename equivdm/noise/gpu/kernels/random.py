"""Philox4x32-10 and the normals of a label, as functions of GPU kernels: the bits of `equivdm.noise.philox`."""

import triton.language as tl

from equivdm.noise.gpu.kernels import Block, Number, Pointer, Scalar, kernel
from equivdm.noise.tracks import DEEPEST

_DEEPEST = tl.constexpr(DEEPEST)


@kernel
def philox(c0: Block, c1: Block, c2: Block, c3: Block, k0: Number, k1: Number) -> tuple[Block, Block, Block, Block]:
    """Return the four words of 32 bits for a counter of four and a key of two words."""
    for _ in tl.static_range(10):
        first = tl.umulhi(c0, 0xD2511F53)
        second = tl.umulhi(c2, 0xCD9E8D57)
        c0, c1, c2, c3 = second ^ c1 ^ k0, c2 * 0xCD9E8D57, first ^ c3 ^ k1, c0 * 0xD2511F53
        k0 += 0x9E3779B9
        k1 += 0xBB67AE85
    return c0, c1, c2, c3


@kernel
def hashed(low: Block, high: Block, third: Block, fourth: Scalar) -> Block:
    """Return 32 bits for a counter under the key 0, for what must not know a seed, as a whole number of 64."""
    zero = tl.zeros_like(low).to(tl.uint32)
    bits, _, _, _ = philox(low.to(tl.uint32), high.to(tl.uint32), third.to(tl.uint32), zero + fourth, zero, zero)
    return bits.to(tl.int64)


@kernel
def normals_of(bits: Block, table: Pointer) -> tuple[Block, Block]:
    """Return the two normals of a word, by its low and its high half."""
    low = tl.load(table + (bits & 0xFFFF).to(tl.int32))
    high = tl.load(table + (bits >> 16).to(tl.int32))
    return low.to(tl.int32), high.to(tl.int32)


@kernel
def eight(
    low: Block, high: Block, third: Block, last: Block, k0: Scalar, k1: Scalar, table: Pointer
) -> tuple[Block, ...]:
    """Return eight normals of the table for the counter (low, high, third, last)."""
    a, b, c, d = philox(low, high, third, last, k0, k1)
    v0, v1 = normals_of(a, table)
    v2, v3 = normals_of(b, table)
    v4, v5 = normals_of(c, table)
    v6, v7 = normals_of(d, table)
    return v0, v1, v2, v3, v4, v5, v6, v7


@kernel
def depth_of(path: Block) -> Block:
    """Return the number of splits in a path; 0 for a path of 0 or 1."""
    depth = tl.zeros_like(path)
    for level in tl.static_range(1, _DEEPEST + 1):
        depth += (path >= (1 << (2 * level))).to(tl.int32)
    return depth


@kernel
def _refine(parent: Block, one: Block, two: Block, three: Block, s: Block, t: Block, r: Block, here: Block) -> Block:
    total = parent + s * one + t * two + r * three
    return tl.where(here, (total + ((total >> 1) & 1)) >> 1, parent)


@kernel
def values(
    site: Block, birth: Block, path: Block, last: Scalar, k0: Scalar, k1: Scalar, table: Pointer
) -> tuple[Block, ...]:
    """Return a particle's values for a group of channels, refined along its path from the root's."""
    depth = depth_of(path)
    low, high = site.to(tl.uint32), birth.to(tl.uint32)
    last = tl.zeros_like(low) + last
    v0, v1, v2, v3, v4, v5, v6, v7 = eight(low, high, tl.zeros_like(low) + 1, last, k0, k1, table)
    level = tl.max(depth, 0) - 1
    while level >= 0:
        at = path >> (2 * level)
        child = at & 3
        first = (at - child).to(tl.uint32)
        a0, a1, a2, a3, a4, a5, a6, a7 = eight(low, high, first + 1, last, k0, k1, table)
        b0, b1, b2, b3, b4, b5, b6, b7 = eight(low, high, first + 2, last, k0, k1, table)
        c0, c1, c2, c3, c4, c5, c6, c7 = eight(low, high, first + 3, last, k0, k1, table)
        # Rows of a Hadamard matrix: + + +, + - -, - + -, - - +.
        s, t, r = 1 - (child & 2), 1 - 2 * (child & 1), 1 - 2 * ((child ^ (child >> 1)) & 1)
        here = level < depth
        v0 = _refine(v0, a0, b0, c0, s, t, r, here)
        v1 = _refine(v1, a1, b1, c1, s, t, r, here)
        v2 = _refine(v2, a2, b2, c2, s, t, r, here)
        v3 = _refine(v3, a3, b3, c3, s, t, r, here)
        v4 = _refine(v4, a4, b4, c4, s, t, r, here)
        v5 = _refine(v5, a5, b5, c5, s, t, r, here)
        v6 = _refine(v6, a6, b6, c6, s, t, r, here)
        v7 = _refine(v7, a7, b7, c7, s, t, r, here)
        level -= 1
    return v0, v1, v2, v3, v4, v5, v6, v7, depth
