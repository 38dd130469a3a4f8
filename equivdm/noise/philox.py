"""Philox4x32-10, a counter-based generator: bits are a pure function of (key, counter), so they need no state.

J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from enum import IntEnum

import numpy as np
from jaxtyping import Int16, Int32, UInt32

from equivdm.noise.compiled import kernel

Words = tuple[np.uint64, np.uint64, np.uint64, np.uint64]

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(0xFFFF)
_32 = np.uint64(32)
_16 = np.uint64(16)
_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = np.uint64(0x9E3779B9)
_WEYL_1 = np.uint64(0xBB67AE85)

PER_CALL = 8
"""Numbers of 16 bits that one call gives."""


class Stream(IntEnum):
    """Last word of the counter: uses that must never share bits."""

    VALUES = 0
    INDEPENDENT = 1
    JITTER = 2
    THINNING = 3


@kernel
def philox4x32(counter: Words, key: tuple[np.uint64, np.uint64]) -> Words:
    """Return the four 32-bit words for a counter of four and a key of two; all of them are held in uint64."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        first = _MULTIPLIER_0 * c0
        second = _MULTIPLIER_1 * c2
        c0, c1, c2, c3 = (second >> _32) ^ c1 ^ k0, second & _LOW, (first >> _32) ^ c3 ^ k1, first & _LOW
        k0 = (k0 + _WEYL_0) & _LOW
        k1 = (k1 + _WEYL_1) & _LOW
    return c0, c1, c2, c3


@kernel
def words(
    low: Int32[np.ndarray, " n"], high: Int32[np.ndarray, " n"], third: int, stream: int
) -> UInt32[np.ndarray, " n"]:
    """Return 32 bits for each counter (low, high, third, stream) under the key 0, for what must not know a seed."""
    out = np.empty(low.shape[0], np.uint32)
    key = (np.uint64(0), np.uint64(0))
    for i in range(low.shape[0]):
        counter = (np.uint64(low[i]), np.uint64(high[i]), np.uint64(third), np.uint64(stream))
        out[i] = np.uint32(philox4x32(counter, key)[0])
    return out


@kernel
def lookups(
    low: Int32[np.ndarray, " n"],
    high: Int32[np.ndarray, " n"],
    stream: int,
    seed: np.uint64,
    table: Int16[np.ndarray, " 65536"],
    out: Int16[np.ndarray, "n channels"],
) -> None:
    """Fill `out[i, c]` by the table for 16 bits of the counter (low[i], high[i], c // 8, stream), key `seed`."""
    key = (seed & _LOW, seed >> _32)
    channels = out.shape[1]
    for i in range(out.shape[0]):
        for group in range((channels + PER_CALL - 1) // PER_CALL):
            counter = (np.uint64(low[i]), np.uint64(high[i]), np.uint64(group), np.uint64(stream))
            channel = group * PER_CALL
            for word in philox4x32(counter, key):
                if channel < channels:
                    out[i, channel] = table[word & _HALF]
                if channel + 1 < channels:
                    out[i, channel + 1] = table[word >> _16]
                channel += 2
