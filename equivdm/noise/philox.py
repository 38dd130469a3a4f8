"""Philox4x32-10, a counter-based generator: bits are a pure function of (key, counter), so they need no state.

J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

A counter is a label (three words) and a word that holds the use, and the number of a group of eight channels.
"""

from collections.abc import Callable, Sequence
from enum import IntEnum

import numpy as np
from jaxtyping import Int16, Int32, UInt32
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.base import BaseContext
from numba.core.types import Type
from numba.core.typing.templates import Signature

from equivdm.compiled import Code, Instruction, Integer, instruction, kernel
from equivdm.noise.tracks import DEEPEST, Columns, Entries, Tracks

Labels = Int32[np.ndarray, " n"]
Words = UInt32[np.ndarray, " words"]
Values = Int32[np.ndarray, " numbers"]
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

_AT_ONCE = 256  # particles whose values are held at a time, in the innermost cache


class Stream(IntEnum):
    """Low bits of the counter's last word: uses that must never share bits."""

    VALUES = 0
    INDEPENDENT = 1
    SHIFT = 2
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
    out, some = np.empty(low.shape[0], np.uint32), np.empty(WORDS * _AT_ONCE, np.uint32)
    for first in range(0, low.shape[0], _AT_ONCE):
        here = out[first : first + _AT_ONCE]
        stop = first + here.shape[0]
        philox4x32(low[first:stop], high[first:stop], third[first:stop], np.uint64(fourth), np.uint64(0), some)
        for i in range(here.shape[0]):
            here[i] = some[WORDS * i]
    return out


@kernel
def depth_of(path: int) -> int:
    """Return the number of splits on a path."""
    depth = 0
    while path >> 2 * (depth + 1):
        depth += 1
    return depth


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
def _list_splits(plan: Columns, part: tuple[int, int], counters: Int32[np.ndarray, "3 n"], places: Tracks) -> int:
    """Write the counters of the draws that refine the particles that have split; return how many.

    `places` are the first draws of each particle. Siblings share theirs, and lie side by side in most cases.
    """
    first, stop = part
    births, sites, paths = plan.births[first:stop], plan.sites[first:stop], plan.paths[first:stop]
    deepest, number = np.int32(0), 0
    for i in range(paths.shape[0]):
        deepest |= paths[i]
    for i in range(paths.shape[0] if deepest > 1 else 0):
        if i and (births[i] == births[i - 1]) & (sites[i] == sites[i - 1]) & (paths[i] >> 2 == paths[i - 1] >> 2):
            places[i] = places[i - 1]
            continue
        places[i] = number
        for level in range(depth_of(paths[i]) - 1, -1, -1):
            # Child 0 of a path has no counter of its own: three draws and the parent make four children.
            siblings = paths[i] >> 2 * level & ~3
            for child in range(1, 4):
                counters[0, number], counters[1, number], counters[2, number] = sites[i], births[i], siblings + child
                number += 1
    return number


@instruction
def _refine_eight(_: object, values: Type, at: Type, draws: Type, drawn: Type, signs: Type, shift: Type) -> Instruction:
    """Let eight values x become (x + s a + t b + r c) / 2, halves to even, so that no draw leans to one side.

    In whole numbers of the table's last place, then shifted left. As one vector: the compiler takes number by number,
    because for all it knows the arrays overlap.
    """
    signature = types.void(values, at, draws, drawn, signs, shift)

    def generate(context: BaseContext, builder: ir.IRBuilder, signature: Signature, arguments: Sequence[Code]) -> Code:
        eight = ir.VectorType(ir.IntType(32), GROUP)

        def place(argument: int, offset: int) -> Code:
            data = context.make_array(signature.args[argument])(context, builder, arguments[argument]).data
            first = builder.add(arguments[argument + 1], ir.Constant(ir.IntType(64), offset))
            return builder.bitcast(builder.gep(data, [first]), eight.as_pointer())

        def splat(number: Code) -> Code:
            whole = builder.trunc(number, eight.element)
            vector = builder.insert_element(ir.Constant(eight, ir.Undefined), whole, ir.Constant(ir.IntType(32), 0))
            return builder.shuffle_vector(vector, vector, ir.Constant(eight, [0] * GROUP))

        one = ir.Constant(eight, [1] * GROUP)
        total = builder.load(place(0, 0), align=4)
        for child, sign in enumerate(cgutils.unpack_tuple(builder, arguments[4], 3)):
            draw = builder.load(place(2, child * GROUP), align=4)
            total = builder.add(total, builder.mul(splat(sign), draw))
        total = builder.ashr(total, ir.Constant(eight, [DEEPEST] * GROUP))
        odd = builder.and_(builder.ashr(total, one), one)
        half = builder.ashr(builder.add(total, odd), one)
        builder.store(builder.shl(half, splat(arguments[5])), place(0, 0), align=4)
        return context.get_dummy_value()

    return signature, generate


@kernel
def _refine(paths: Tracks, places: Tracks, draws: Values, at: tuple[int, int], values: Values) -> None:
    """Replace the roots' values of the particles that have split by theirs, level by level along their paths.

    A child's is its row of (x + a + b + c, x + a - b - c, ...) / 2. The four rows are an orthonormal transform: of iid
    normals x, a, b, c they are iid normals again, and the children sum up to 2 x. It is the law of white noise on four
    quarters, given the noise x of the whole. It weighs half as much as its parent's.
    """
    for i in range(paths.shape[0]):
        if paths[i] == 1:
            continue
        depth, to, drawn = depth_of(paths[i]), np.uint64(at[0] + at[1] * i), np.uint64(GROUP * places[i])
        for level in range(depth - 1, -1, -1):
            child = paths[i] >> 2 * level & 3
            # Rows of a Hadamard matrix: + + +, + - -, - + -, - - +.
            signs = 1 - (child & 2), 1 - 2 * (child & 1), 1 - 2 * ((child ^ child >> 1) & 1)
            _refine_eight(values, to, draws, drawn, signs, DEEPEST if level else DEEPEST - depth)
            drawn += np.uint64(3 * GROUP)


def _adder(numbers: int) -> Callable[..., None]:
    """Return what adds so many numbers of `values` from place `at` on to those of `sums` from `to` on, as one vector.

    The compiler adds them one by one, because for all it knows the two arrays overlap.
    """

    @instruction
    def add(_: object, values: Type, at: Type, sums: Type, to: Type) -> Instruction:
        signature = types.void(values, at, sums, to)

        def generate(
            context: BaseContext, builder: ir.IRBuilder, signature: Signature, arguments: Sequence[Code]
        ) -> Code:
            vector = ir.VectorType(ir.IntType(32), numbers).as_pointer()
            pairs = zip(signature.args[::2], arguments[::2], arguments[1::2], strict=True)
            source, target = (
                builder.bitcast(builder.gep(context.make_array(kind)(context, builder, array).data, [place]), vector)
                for kind, array, place in pairs
            )
            total = builder.add(builder.load(source, align=4), builder.load(target, align=4))
            builder.store(total, target, align=4)
            return context.get_dummy_value()

        return signature, generate

    return add


_add_group, _add_two_groups = _adder(GROUP), _adder(2 * GROUP)


@kernel
def _held(plan: Columns, part: tuple[int, int], frame: int, alive: Tracks, tracks: Tracks) -> Integer:
    """Write which tracks of `part`, counted from its start, an emitted frame holds; return how many."""
    here, held, number = np.int32(frame), np.int32(0), 0
    starts, stops = plan.starts[part[0] : part[1]], plan.stops[part[0] : part[1]]
    for i in range(starts.shape[0]):
        alive[i] = np.int32(starts[i] <= here) & np.int32(here < stops[i])
        held += alive[i]
    for i in range(starts.shape[0] if held else 0):
        tracks[np.uint64(number)] = i
        number += np.int64(alive[i])
    return number


@kernel
def _scatter(values: Values, tracks: Tracks, cells: Tracks, width: int, sums: Values) -> None:
    """Add the `width` values of each of the tracks, one group's or those of two, to those of its cell."""
    for i in range(tracks.shape[0]):
        at, to = np.uint64(width * tracks[i]), np.uint64(width * cells[i])
        if width > GROUP:
            _add_two_groups(values, at, sums, to)
        else:
            _add_group(values, at, sums, to)


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
    draws = np.empty(GROUP * counters.shape[1], np.int32)
    alive, tracks, places = np.empty(_AT_ONCE, np.int32), np.empty(_AT_ONCE, np.int32), np.empty(_AT_ONCE, np.int32)
    for first in range(0, plan.starts.shape[0], _AT_ONCE):
        stop = min(first + _AT_ONCE, plan.starts.shape[0])
        number = _list_splits(plan, (first, stop), counters, places)
        for group in range(groups[0], groups[1]):
            at, last = (GROUP * (group - groups[0]), width), np.uint64(group << GROUP_SHIFT)
            philox4x32(plan.sites[first:stop], plan.births[first:stop], root, last, seed, bits)
            _look_up(bits[: WORDS * (stop - first)], table, at, values)
            if number:
                philox4x32(counters[0, :number], counters[1], counters[2], last, seed, bits)
                _look_up(bits[: WORDS * number], table, (0, GROUP), draws)
                _refine(plan.paths[first:stop], places, draws, at, values)
        # Frame by frame: the sums of what lies together stay in the innermost cache.
        for frame in range(frames[0], frames[1]):
            here = entry[frame]
            entry[frame] += _held(plan, (first, stop), frame, alive, tracks)
            cells, flat = plan.cells[here : entry[frame]], sums[frame - frames[0]].reshape(-1)
            _scatter(values, tracks[: cells.shape[0]], cells, width, flat)
