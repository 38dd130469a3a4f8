"""Philox4x32-10, a counter-based generator: bits are a pure function of (key, counter), so they need no state.

J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

A counter is a label (three words) and a word that holds the use, and the number of a group of eight channels.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from jaxtyping import Int16, Int32, Int64, UInt32
from llvmlite import ir
from numba import types

from equivdm.noise.compiled import instruction, kernel

Labels = Int32[np.ndarray, " n"]
Words = UInt32[np.ndarray, " words"]
Values = Int32[np.ndarray, " numbers"]
Tracks = Int32[np.ndarray, " tracks"]
Entries = Int64[np.ndarray, " frames"]
Sums = Int32[np.ndarray, "frames cells numbers"]
NormalTable = Int16[np.ndarray, " 65536"]

_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = np.uint64(0x9E3779B9)
_WEYL_1 = np.uint64(0xBB67AE85)

WORDS = 4
"""Words of 32 bits that a counter gives."""
GROUP = 2 * WORDS
"""Numbers of 16 bits, the low half of a word before the high one: channels come in groups of so many."""
GROUP_SHIFT = 4
"""Bits of the last word that hold the use; the rest is the number of the group, or of a frame."""
DEEPEST = 6
"""Splits in a row: each quarters the material that a particle stands for, so six let a zoom reach 64."""

_AT_ONCE = 256  # particles whose values are held at a time, in the innermost cache


class Stream(IntEnum):
    """Low bits of the counter's last word: uses that must never share bits."""

    VALUES = 0
    INDEPENDENT = 1
    JITTER = 2
    THINNING = 3


@kernel
def philox4x32(low: Labels, high: Labels, third: Labels, fourth: np.uint64, key: np.uint64, out: Words) -> None:
    """Write the four words of each counter (low, high, third, fourth) under a key of 64 bits, one after another.

    Many at a time, and all in one function: a call for each keeps the compiler from using vector units, and takes eight
    times as long.
    """
    for i in range(low.shape[0]):
        c0, c1 = np.uint64(np.uint32(low[i])), np.uint64(np.uint32(high[i]))
        c2, c3 = np.uint64(np.uint32(third[i])), fourth
        k0, k1 = key & _LOW, key >> _32
        for _ in range(10):
            first = _MULTIPLIER_0 * c0
            second = _MULTIPLIER_1 * c2
            c0, c1, c2, c3 = (second >> _32) ^ c1 ^ k0, second & _LOW, (first >> _32) ^ c3 ^ k1, first & _LOW
            k0 = (k0 + _WEYL_0) & _LOW
            k1 = (k1 + _WEYL_1) & _LOW
        out[4 * i] = np.uint32(c0)
        out[4 * i + 1] = np.uint32(c1)
        out[4 * i + 2] = np.uint32(c2)
        out[4 * i + 3] = np.uint32(c3)


@kernel
def words(low: Labels, high: Labels, third: Labels, fourth: int) -> UInt32[np.ndarray, " n"]:
    """Return 32 bits for each counter (low, high, third, fourth) under the key 0, for what must not know a seed."""
    out = np.empty(WORDS * low.shape[0], np.uint32)
    philox4x32(low, high, third, np.uint64(fourth), np.uint64(0), out)
    return out[::WORDS].copy()


class Columns(NamedTuple):
    """The columns of a `MotionPlan`, which says what they hold: one entry a track, but for the cells."""

    births: Tracks
    sites: Tracks
    paths: Tracks
    starts: Tracks
    stops: Tracks
    cells: Int32[np.ndarray, " entries"]


@kernel
def depth_of(path: int) -> int:
    """Return the number of splits on a path."""
    depth = 0
    while path >> 2 * (depth + 1):
        depth += 1
    return depth


@kernel
def first_entries(plan: Columns, frames: int) -> Entries:
    """Return the place in `plan.cells` where each emitted frame begins."""
    # Tracks that begin less those that end, summed up to what a frame holds, and those up to where it begins.
    change = np.zeros(frames + 1, np.int64)
    for i in range(plan.starts.shape[0]):
        change[plan.starts[i]] += 1
        change[plan.stops[i]] -= 1
    entries = np.zeros(frames, np.int64)
    held = 0
    for frame in range(frames - 1):
        held += change[frame]
        entries[frame + 1] = entries[frame] + held
    return entries


@kernel
def add_weights(plan: Columns, weights: Int32[np.ndarray, "frames cells"]) -> None:
    """Add each particle's squared weight, 4^-depth, to the cells it lies in, in units of 4^-DEEPEST."""
    entries = first_entries(plan, weights.shape[0])
    for i in range(plan.starts.shape[0]):
        square = 1 << 2 * (DEEPEST - depth_of(plan.paths[i]))
        for frame in range(plan.starts[i], plan.stops[i]):
            weights[frame, plan.cells[entries[frame]]] += square
            entries[frame] += 1


@kernel
def _low(word: np.uint32, table: NormalTable) -> np.int16:
    return table[word & np.uint32(0xFFFF)]


@kernel
def _high(word: np.uint32, table: NormalTable) -> np.int16:
    return table[word >> np.uint32(16)]


@kernel
def _look_up(bits: Words, table: NormalTable, at: tuple[int, int], values: Values) -> None:
    """Write the eight normals of each counter to `values`, from at[0] on and at[1] apart."""
    for i in range(bits.shape[0] // WORDS):
        for k in range(WORDS):
            word, to = bits[np.uint64(WORDS * i + k)], np.uint64(at[0] + at[1] * i + 2 * k)
            values[to] = _low(word, table) << DEEPEST
            values[to + np.uint64(1)] = _high(word, table) << DEEPEST


@kernel
def _list_splits(plan: Columns, first: int, stop: int, counters: Int32[np.ndarray, "3 n"]) -> int:
    """Write the counters of the draws that refine the particles that have split; return how many."""
    number = 0
    for i in range(first, stop):
        for level in range(depth_of(plan.paths[i]) - 1, -1, -1):
            # Child 0 of a path has no counter of its own: three draws and the parent make four children.
            siblings = plan.paths[i] >> 2 * level & ~3
            for child in range(1, 4):
                counters[0, number], counters[1, number] = plan.sites[i], plan.births[i]
                counters[2, number] = siblings + child
                number += 1
    return number


@kernel
def _halved(total: int) -> int:
    """Return half of a whole number, halves to even, so that no draw leans to one side."""
    return (total + ((total >> 1) & 1)) >> 1


@kernel
def _refine(
    plan: Columns, part: tuple[int, int], bits: Words, table: NormalTable, at: tuple[int, int], values: Values
) -> None:
    """Replace the roots' values of the particles that have split by theirs, level by level along their paths.

    A child's is its row of (x + a + b + c, x + a - b - c, ...) / 2. The four rows are an orthonormal transform: of iid
    normals x, a, b, c they are iid normals again, and the children sum up to 2 x. It is the law of white noise on four
    quarters, given the noise x of the whole. It weighs half as much as its parent's.
    """
    drawn = 0
    for i in range(part[0], part[1]):
        depth, to = depth_of(plan.paths[i]), at[0] + at[1] * (i - part[0])
        for level in range(depth - 1, -1, -1):
            child = plan.paths[i] >> 2 * level & 3
            # Rows of a Hadamard matrix: + + +, + - -, - + -, - - +.
            s, t, r = 1 - (child & 2), 1 - 2 * (child & 1), 1 - 2 * ((child ^ child >> 1) & 1)
            for k in range(WORDS):
                one, two, three = bits[drawn + k], bits[drawn + WORDS + k], bits[drawn + 2 * WORDS + k]
                low = s * _low(one, table) + t * _low(two, table) + r * _low(three, table)
                high = s * _high(one, table) + t * _high(two, table) + r * _high(three, table)
                values[to + 2 * k] = _halved((values[to + 2 * k] >> DEEPEST) + low) << DEEPEST
                values[to + 2 * k + 1] = _halved((values[to + 2 * k + 1] >> DEEPEST) + high) << DEEPEST
            drawn += 3 * WORDS
        for k in range(GROUP if depth else 0):
            values[to + k] >>= depth


@instruction
def _add_eight(_, values, at, sums, to):
    """Add the eight numbers of `values` from place `at` on to those of `sums` from `to` on, as one vector.

    The compiler adds them one by one, because for all it knows the two arrays overlap.
    """
    signature = types.void(values, at, sums, to)

    def generate(context, builder, signature, arguments):
        eight = ir.VectorType(ir.IntType(32), GROUP).as_pointer()
        pairs = zip(signature.args[::2], arguments[::2], arguments[1::2], strict=True)
        source, target = (
            builder.bitcast(builder.gep(context.make_array(kind)(context, builder, array).data, [place]), eight)
            for kind, array, place in pairs
        )
        total = builder.add(builder.load(source, align=4), builder.load(target, align=4))
        builder.store(total, target, align=4)
        return context.get_dummy_value()

    return signature, generate


@kernel
def _scatter(
    plan: Columns, part: tuple[int, int], frames: tuple[int, int], entry: Entries, values: Values, sums: Sums
) -> None:
    """Add the values of the tracks of `part` to their cells; `entry` is the next one of each frame.

    Frame by frame for each track: adding to the same cell twice in a row would wait for the first sum. Into a flat
    array: to take a row of another costs as much as the sum.
    """
    width, cells, every = sums.shape[2], sums.shape[1], sums.reshape(-1)
    for i in range(part[0], part[1]):
        at = np.uint64(width * (i - part[0]))
        for frame in range(max(plan.starts[i], frames[0]), min(plan.stops[i], frames[1])):
            here = np.uint64(frame)
            to = np.uint64(width * (cells * (frame - frames[0]) + plan.cells[np.uint64(entry[here])]))
            entry[here] += 1
            _add_eight(values, at, every, to)
            if width > GROUP:
                _add_eight(values, at + np.uint64(GROUP), every, to + np.uint64(GROUP))


@kernel
def add_values(
    plan: Columns,
    entries: Entries,
    frames: tuple[int, int],
    groups: tuple[int, int],
    seed: np.uint64,
    table: NormalTable,
    sums: Sums,
) -> None:
    """Add each particle's values of `groups` (from, to) of channels to the cells it lies in.

    For the emitted `frames` (from, to); `entries` are the places in `plan.cells` where the plan's frames begin. A
    particle of depth d stands for 1 / 4^d of a root's material and weighs 2^-d; sums are in units of 2^-DEEPEST of the
    table's. In whole numbers, so that the order does not matter.
    """
    entry, width = entries.copy(), GROUP * (groups[1] - groups[0])
    root = np.ones(_AT_ONCE, np.int32)
    counters = np.empty((3, 3 * DEEPEST * _AT_ONCE), np.int32)
    bits = np.empty(WORDS * counters.shape[1], np.uint32)
    values = np.empty(_AT_ONCE * width, np.int32)
    for first in range(0, plan.starts.shape[0], _AT_ONCE):
        stop = min(first + _AT_ONCE, plan.starts.shape[0])
        number = _list_splits(plan, first, stop, counters)
        for group in range(groups[0], groups[1]):
            at, last = (GROUP * (group - groups[0]), width), np.uint64(group << GROUP_SHIFT)
            philox4x32(plan.sites[first:stop], plan.births[first:stop], root, last, seed, bits)
            _look_up(bits[: WORDS * (stop - first)], table, at, values)
            if number:
                philox4x32(counters[0, :number], counters[1], counters[2], last, seed, bits)
                _refine(plan, (first, stop), bits, table, at, values)
        _scatter(plan, (first, stop), frames, entry, values, sums)
