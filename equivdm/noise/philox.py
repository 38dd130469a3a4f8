"""Philox4x32-10, a counter-based generator: bits are a pure function of (key, counter), so they need no state.

J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

A counter is a label (three words) and a word that holds the use, and the number of a group of eight channels.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int16, Int32, Int64, UInt32

from equivdm.noise.compiled import Integer, kernel

Words = tuple[np.uint64, np.uint64, np.uint64, np.uint64]
Label = tuple[np.uint64, np.uint64, np.uint64]
Eight = tuple[Integer, Integer, Integer, Integer, Integer, Integer, Integer, Integer]
Tracks = Int32[np.ndarray, " tracks"]
Sums = Int64[np.ndarray, "cells 4"]
NormalTable = Int16[np.ndarray, " 65536"]

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(0xFFFF)
_32 = np.uint64(32)
_16 = np.uint64(16)
_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = np.uint64(0x9E3779B9)
_WEYL_1 = np.uint64(0xBB67AE85)

GROUP = 8
"""Numbers of 16 bits that one call gives: channels come in groups of so many."""
LANES = GROUP // 2
"""Whole numbers of 64 bits that hold a group's sums, two to each: high * 2^32 + low, which adds up as a number."""
GROUP_SHIFT = 4
"""Bits of the last word that hold the use; the rest is the number of the group, or of a frame."""
DEEPEST = 6
"""Splits in a row: each quarters the material that a particle stands for, so six let a zoom reach 64."""


_AT_ONCE = 512  # particles whose values are held at a time, in the innermost cache


class Stream(IntEnum):
    """Low bits of the counter's last word: uses that must never share bits."""

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
def _fill(
    low: Tracks, high: Tracks, third: Tracks, last: np.uint64, seed: np.uint64, out: UInt32[np.ndarray, "4 n"]
) -> None:
    """Write the words of many counters (low, high, third, last) side by side: `philox4x32`, written out.

    A call keeps the compiler from using vector units: it took eight times as long.
    """
    for i in range(low.shape[0]):
        c0, c1 = np.uint64(np.uint32(low[i])), np.uint64(np.uint32(high[i]))
        c2, c3 = np.uint64(np.uint32(third[i])), last
        k0, k1 = seed & _LOW, seed >> _32
        for _ in range(10):
            first = _MULTIPLIER_0 * c0
            second = _MULTIPLIER_1 * c2
            c0, c1, c2, c3 = (second >> _32) ^ c1 ^ k0, second & _LOW, (first >> _32) ^ c3 ^ k1, first & _LOW
            k0 = (k0 + _WEYL_0) & _LOW
            k1 = (k1 + _WEYL_1) & _LOW
        out[0, i] = np.uint32(c0)
        out[1, i] = np.uint32(c1)
        out[2, i] = np.uint32(c2)
        out[3, i] = np.uint32(c3)


@kernel
def words(
    low: Int32[np.ndarray, " n"], high: Int32[np.ndarray, " n"], third: Int32[np.ndarray, " n"], fourth: int
) -> UInt32[np.ndarray, " n"]:
    """Return 32 bits for each counter (low, high, third, fourth) under the key 0, for what must not know a seed."""
    out = np.empty((4, low.shape[0]), np.uint32)
    _fill(low, high, third, np.uint64(fourth), np.uint64(0), out)
    return out[0]


@kernel
def _eight(label: Label, last: np.uint64, seed: np.uint64, table: NormalTable) -> Eight:
    """Return eight normals of the table for the counter (label, last)."""
    a, b, c, d = philox4x32((label[0], label[1], label[2], last), (seed & _LOW, seed >> _32))
    return (
        np.int32(table[a & _HALF]),
        np.int32(table[a >> _16]),
        np.int32(table[b & _HALF]),
        np.int32(table[b >> _16]),
        np.int32(table[c & _HALF]),
        np.int32(table[c >> _16]),
        np.int32(table[d & _HALF]),
        np.int32(table[d >> _16]),
    )


@kernel
def _halved(total: Integer) -> Integer:
    """Return half of a whole number, halves to even, so that no draw leans to one side."""
    return (total + ((total >> 1) & 1)) >> 1


@kernel
def _refined(parent: Eight, one: Eight, two: Eight, three: Eight, child: int) -> Eight:
    """Return the values of a child of a split: its row of (x + a + b + c, x + a - b - c, ...) / 2.

    The four rows are an orthonormal transform: of iid normals x, a, b, c they are iid normals again, and the children
    sum up to 2 x. It is the law of white noise on four quarters, given the noise x of the whole.
    """
    # Rows of a Hadamard matrix: + + +, + - -, - + -, - - +.
    s, t, r = 1 - (child & 2), 1 - 2 * (child & 1), 1 - 2 * ((child ^ child >> 1) & 1)
    return (
        _halved(parent[0] + s * one[0] + t * two[0] + r * three[0]),
        _halved(parent[1] + s * one[1] + t * two[1] + r * three[1]),
        _halved(parent[2] + s * one[2] + t * two[2] + r * three[2]),
        _halved(parent[3] + s * one[3] + t * two[3] + r * three[3]),
        _halved(parent[4] + s * one[4] + t * two[4] + r * three[4]),
        _halved(parent[5] + s * one[5] + t * two[5] + r * three[5]),
        _halved(parent[6] + s * one[6] + t * two[6] + r * three[6]),
        _halved(parent[7] + s * one[7] + t * two[7] + r * three[7]),
    )


@kernel
def _values(site: int, birth: int, path: int, last: np.uint64, seed: np.uint64, table: NormalTable) -> Eight:
    """Return a particle's values for a group of channels, refined along its path from the root's."""
    depth = 0
    while path >> 2 * (depth + 1):
        depth += 1
    low, high = np.uint64(site), np.uint64(birth)
    values = _eight((low, high, np.uint64(1)), last, seed, table)
    for level in range(depth - 1, -1, -1):
        here = path >> 2 * level
        child, first = here & 3, np.uint64(here - (here & 3))
        # Child 0 of a path has no counter of its own: three draws and the parent make four children.
        one = _eight((low, high, first + np.uint64(1)), last, seed, table)
        two = _eight((low, high, first + np.uint64(2)), last, seed, table)
        three = _eight((low, high, first + np.uint64(3)), last, seed, table)
        values = _refined(values, one, two, three, child)
    return values


@kernel
def _shift(path: int) -> int:
    """Return the power of two that a particle's values weigh, in units of 2^-DEEPEST: one less for every split."""
    shift = DEEPEST
    while path >> 2 * (DEEPEST - shift + 1):
        shift -= 1
    return shift


class Columns(NamedTuple):
    """The columns of a `MotionPlan`, which says what they hold: one entry a track, but for the cells."""

    births: Tracks
    sites: Tracks
    paths: Tracks
    starts: Tracks
    stops: Tracks
    cells: Int32[np.ndarray, " entries"]


@kernel
def _cursor(plan: Columns, frames: int) -> Int64[np.ndarray, " places"]:
    """Return the place in `plan.cells` where each of the first emitted frames begins."""
    # Counts of the first and of the last frames of tracks, summed up twice.
    cursor = np.zeros(frames + 2, np.int64)
    for i in range(plan.starts.shape[0]):
        cursor[min(plan.starts[i], frames) + 1] += 1
        cursor[min(plan.stops[i], frames) + 1] -= 1
    for _ in range(2):
        for frame in range(frames + 1):
            cursor[frame + 1] += cursor[frame]
    return cursor


@kernel
def add_weights(plan: Columns, weights: Int32[np.ndarray, "frames cells"]) -> None:
    """Add each particle's squared weight to the cells it lies in, in units of 4^-DEEPEST; see `add_values`."""
    cursor = _cursor(plan, weights.shape[0])
    for i in range(plan.starts.shape[0]):
        square = 1 << 2 * _shift(plan.paths[i])
        for frame in range(plan.starts[i], plan.stops[i]):
            weights[frame, plan.cells[cursor[frame]]] += square
            cursor[frame] += 1


@kernel
def _pack_roots(bits: UInt32[np.ndarray, "4 n"], count: int, table: NormalTable, out: Int64[np.ndarray, "n 4"]) -> None:
    """Look the normals up, and pack those of channels 2 k and 2 k + 1 into lane k."""
    for i in range(count):
        for lane in range(LANES):
            word = bits[lane, i]
            low, high = np.int64(table[word & _HALF]), np.int64(table[word >> np.uint32(16)])
            out[i, lane] = ((high << 32) + low) << DEEPEST


@kernel
def _pack_split(
    plan: Columns,
    first: int,
    count: int,
    last: np.uint64,
    seed: np.uint64,
    table: NormalTable,
    out: Int64[np.ndarray, "n 4"],
) -> None:
    """Write the packed values of the particles that have split, among `count` of them from `first` on."""
    for i in range(count):
        path = plan.paths[first + i]
        if path > 1:
            values = _values(plan.sites[first + i], plan.births[first + i], path, last, seed, table)
            shift = _shift(path)
            out[i, 0] = ((np.int64(values[1]) << 32) + values[0]) << shift
            out[i, 1] = ((np.int64(values[3]) << 32) + values[2]) << shift
            out[i, 2] = ((np.int64(values[5]) << 32) + values[4]) << shift
            out[i, 3] = ((np.int64(values[7]) << 32) + values[6]) << shift


@kernel
def _scatter(
    plan: Columns, tracks: tuple[int, int], frame: int, place: int, packed: Int64[np.ndarray, "n 4"], sums: Sums
) -> int:
    """Add the packed values of the `tracks` (from, to) that the frame holds to their cells; return the next place."""
    for i in range(tracks[0], tracks[1]):
        if plan.starts[i] <= frame < plan.stops[i]:
            cell, row = np.uint64(plan.cells[place]), np.uint64(i - tracks[0])
            sums[cell, 0] += packed[row, 0]
            sums[cell, 1] += packed[row, 1]
            sums[cell, 2] += packed[row, 2]
            sums[cell, 3] += packed[row, 3]
            place += 1
    return place


@kernel
def add_values(
    plan: Columns,
    frames: tuple[int, int],
    group: int,
    seed: np.uint64,
    table: NormalTable,
    sums: Int64[np.ndarray, "frames cells 4"],
) -> None:
    """Add each particle's values of a group of channels to the cells it lies in, for the emitted `frames` (from, to).

    A particle of depth d stands for 1 / 4^d of a root's material and weighs 2^-d; sums are in units of 2^-DEEPEST of
    the table's, packed in lanes. In whole numbers, so that the order does not matter.
    """
    cursor = _cursor(plan, frames[1])
    last = np.uint64(group << GROUP_SHIFT)
    bits = np.empty((4, _AT_ONCE), np.uint32)
    packed = np.empty((_AT_ONCE, LANES), np.int64)
    for first in range(0, plan.starts.shape[0], _AT_ONCE):
        stop = min(first + _AT_ONCE, plan.starts.shape[0])
        _fill(plan.sites[first:stop], plan.births[first:stop], plan.paths[first:stop], last, seed, bits)
        _pack_roots(bits, stop - first, table, packed)
        _pack_split(plan, first, stop - first, last, seed, table, packed)
        for frame in range(max(frames[0], plan.starts[first]), frames[1]):
            cursor[frame] = _scatter(plan, (first, stop), frame, cursor[frame], packed, sums[frame - frames[0]])


@kernel
def write_noise(
    sums: Int64[np.ndarray, "frames cells 4"],
    scale: Float32[np.ndarray, "frames cells"],
    numbers: Int32[np.ndarray, " frames"],
    group: int,
    seed: np.uint64,
    table: NormalTable,
    shares: tuple[np.float32, np.float32],
    out: Float32[np.ndarray, "frames channels cells"],
) -> None:
    """Write a group of channels: `shares[0]` times the scaled sums, plus `shares[1]` times independent normals.

    The latter belong to (cell, number of the frame), and come out in the unit of `shares[1]`.
    """
    cells = np.arange(sums.shape[1]).astype(np.int32)
    high, third = np.empty_like(cells), np.zeros_like(cells)
    bits = np.zeros((4, len(cells)), np.uint32)
    fresh = np.float32(0)
    for frame in range(sums.shape[0]):
        if shares[1] != 0:
            high[:] = numbers[frame]
            _fill(cells, high, third, np.uint64(Stream.INDEPENDENT | group << GROUP_SHIFT), seed, bits)
        for channel in range(min(GROUP, out.shape[1] - group * GROUP)):
            lane, upper = channel >> 1, channel & 1
            for cell in range(sums.shape[1]):
                total = sums[frame, cell, lane]
                low = np.int64(np.int32(total))
                value = np.float32((total - low) >> 32 if upper else low) * scale[frame, cell] * shares[0]
                if shares[1] != 0:
                    word = bits[lane, cell]
                    half = word >> np.uint32(16) if upper else word & np.uint32(0xFFFF)
                    fresh = np.float32(table[half]) * shares[1]
                out[frame, group * GROUP + channel, cell] = value + fresh
