"""The cells of a plan's particles as few bits: predicted from the motion around them, then coded by how sure that is.

Reader and writer follow each particle alike, at a place that agrees with all of its cells so far, in 1/4096 cell. Its
next place is that plus the motion of its cell, which is corrected wherever a particle comes to lie elsewhere. What is
written is whether the predicted row and column are right: bits in a run for each part of the way between their borders,
since in the middle they nearly always are. So the runs differ in their share of ones, and pack well.
"""

import numpy as np
from jaxtyping import Int32, UInt8

from equivdm.compiled import Integer, inlined, kernel
from equivdm.noise.particles import offset
from equivdm.noise.tracks import Columns

CELL_BITS = 12
CELL = 1 << CELL_BITS
"""A cell's side in the fixed point of places."""

Bits = UInt8[np.ndarray, " bits"]
Places = Int32[np.ndarray, "tracks 3"]
Frames = Int32[np.ndarray, " frames"]
Sites = Int32[np.ndarray, " sites"]
Field = Int32[np.ndarray, "columns 5"]
Counts = Int32[np.ndarray, " contexts"]

_PARTS_BITS = 4  # between its borders a prediction is as sure within each of 16 parts
_SIGN, _MORE, _CONTEXTS = 1 << _PARTS_BITS, 2 << _PARTS_BITS, 3 << _PARTS_BITS  # first contexts of one number

_X, _Y, _CELL = range(3)
"""Rows of places: where a track was last, and the cell it lay in."""
_U, _V, _WAS_U, _WAS_V, _FRAME = range(5)
"""Rows of a field, by cells of the previous emitted frame: motion now and before, the frame in which it was used."""
_KINDS = 16
"""New tracks err alike by the end of their path: columns of a field behind those of the cells."""


@inlined
def _bit(bits: Bits, ends: Counts, reading: bool, context: Integer, bit: bool) -> bool:
    """Write a bit to its context's run, or read one and ignore the argument; behind the end, count only."""
    place = ends[context]
    ends[context] += 1
    if place >= bits.shape[0]:
        return bit and not reading
    if reading:
        return bits[place] != 0
    bits[place] = bit
    return bit


@inlined
def _number(bits: Bits, ends: Counts, reading: bool, first: int, place: Integer, size: int, number: Integer) -> Integer:
    """Write or read the row or column, of `size`, of a particle that is expected at `place`."""
    expected = place >> CELL_BITS
    part = first + ((place & (CELL - 1)) >> (CELL_BITS - _PARTS_BITS))
    if not _bit(bits, ends, reading, part, bool(number != expected)):
        return expected
    sign = 1 if _bit(bits, ends, reading, part + _SIGN, bool(number > expected)) else -1
    far = 1
    while far < size and _bit(
        bits, ends, reading, first + _MORE + min(far, _SIGN) - 1, bool(abs(number - expected) > far)
    ):
        far += 1
    return min(max(expected + sign * far, 0), size - 1)  # damaged bytes may lead anywhere


@inlined
def _move(at: Places, field: Field, track: int, part: Integer, frame: int, last: Integer) -> Integer:
    """Move a track by `part` / 256 of the motion of its cell, and return that cell.

    A cell's motion is first that of the frame before, plus what has changed since then in the cell `last` seen.
    """
    cell = at[track, _CELL]
    if field[cell, _FRAME] != frame:
        field[cell, _FRAME] = frame
        field[cell, _U] = field[cell, _WAS_U] + field[last, _U] - field[last, _WAS_U]
        field[cell, _V] = field[cell, _WAS_V] + field[last, _V] - field[last, _WAS_V]
    at[track, _X] += np.int64(field[cell, _U]) * part >> 8
    at[track, _Y] += np.int64(field[cell, _V]) * part >> 8
    return cell


@inlined
def _settle(at: Places, track: int, axis: int, number: Integer) -> Integer:
    """Bring a track's coordinate into the row or column `number`; return half of the way."""
    was = np.int64(at[track, axis])
    at[track, axis] = min(max(was, number << CELL_BITS), ((number + 1) << CELL_BITS) - 1)
    return (at[track, axis] - was) >> 1


@inlined
def _age(births: Frames, track: int, frame: int, frames: Frames) -> Integer:
    """Return the part of the step to an emitted frame that a track has lived through, in 1/256; 0 at the first."""
    if frame == 0:
        return 0
    lived, step = int(frames[frame]) - int(births[track]), int(frames[frame]) - int(frames[frame - 1])
    return min(max(256 * lived // step, 0), 256)


@kernel
def _code_cells(
    plan: Columns,
    frames: Frames,
    grid: tuple[int, int],
    work: tuple[Places, Field, Sites],
    bits: Bits,
    ends: Counts,
    reading: bool,
) -> None:
    """Write all cells of a plan to bits, or read them into its column.

    `ends` are the places in `bits` where the contexts' runs begin, and then where they end.
    """
    births, sites, paths, starts, stops, cells = plan
    at, field, last_of = work
    kinds = grid[0] * grid[1]
    entry = stop = last = 0
    for frame in range(frames.shape[0]):
        field[:, _WAS_U : _WAS_V + 1] = field[:, _U : _V + 1]
        while stop < starts.shape[0] and starts[stop] <= frame:
            stop += 1
        for track in range(stop):
            if stops[track] <= frame:
                continue
            place = kinds + (paths[track] & (_KINDS - 1))
            if starts[track] < frame:
                place = last = _move(at, field, track, 256, frame, last)
            elif births[track] != frames[frame]:
                relative = last_of[sites[track]]
                part = _age(births, track, frame, frames)
                if paths[track] > 1 and relative >= 0:  # the parent, or a sibling that is in this frame already
                    at[track] = at[relative]
                    part = 256 * int(stops[relative] <= frame)
                last = _move(at, field, track, part, frame, last)
                at[track, _X] += field[place, _U]
                at[track, _Y] += field[place, _V]
            x = min(max(np.int64(at[track, _X]), 0), (grid[1] << CELL_BITS) - 1)
            y = min(max(np.int64(at[track, _Y]), 0), (grid[0] << CELL_BITS) - 1)
            row = cells[entry] // grid[1]
            column = cells[entry] - row * grid[1]
            row = _number(bits, ends, reading, 0, y, grid[0], row)
            column = _number(bits, ends, reading, _CONTEXTS, x, grid[1], column)
            cells[entry] = at[track, _CELL] = row * grid[1] + column
            field[place, _U] += _settle(at, track, _X, column)
            field[place, _V] += _settle(at, track, _Y, row)
            last_of[sites[track]] = track
            entry += 1


def write_cells(plan: Columns, frames: Frames, grid: tuple[int, int], per_cell: int) -> tuple[Counts, Bits]:
    """Return the cells of a plan as runs of bits, one after the other, and how long those are."""
    counts, none = np.zeros(2 * _CONTEXTS, np.int32), np.empty(0, np.uint8)
    work = _start(plan, grid, per_cell)
    _code_cells(plan, frames, grid, work, none, counts, False)
    bits = np.empty(counts.sum(), np.uint8)
    _code_cells(plan, frames, grid, _start(plan, grid, per_cell), bits, _begins(counts), False)
    return counts, bits


def read_cells(plan: Columns, frames: Frames, grid: tuple[int, int], per_cell: int, runs: tuple[Counts, Bits]) -> None:
    """Fill the column of cells from what `write_cells` returned; other bits lead to other cells of the grid."""
    _code_cells(plan, frames, grid, _start(plan, grid, per_cell), runs[1], _begins(runs[0]), True)


def _begins(counts: Counts) -> Counts:
    return np.cumsum(counts, dtype=np.int32) - counts


def _start(plan: Columns, grid: tuple[int, int], per_cell: int) -> tuple[Places, Field, Sites]:
    """Return the birth places of all tracks, a field without motion, and no track yet for any site."""
    columns = grid[1] * per_cell
    sites = np.stack([plan.sites % columns, plan.sites // columns]).astype(np.int64)
    x, y = (512 * sites + 256 + offset(plan.sites, plan.births).astype(np.int64)) * CELL // (512 * per_cell)
    at = np.stack([x, y, (y >> CELL_BITS) * grid[1] + (x >> CELL_BITS)], axis=1).astype(np.int32)
    field = np.zeros((grid[0] * grid[1] + _KINDS, 5), np.int32)
    field[:, _FRAME] = -1
    return at, field, np.full(int(plan.sites.max(initial=0)) + 1, -1, np.int32)
