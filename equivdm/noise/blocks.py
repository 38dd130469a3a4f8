"""Blocks of a lattice and who is in them: who leaves, and what a cell needs."""

import numpy as np
from jaxtyping import Bool, Int32

from equivdm.compiled import Integer, kernel
from equivdm.noise.table import BIRTH, BLOCK, GONE, PATH, SHIFT, SITE, TRACK, Counts, Some, Table, U, V, X, Y

Flags = Bool[np.ndarray, " blocks"]


@kernel
def leave(table: Table, lost: Some, counts: Counts) -> None:
    """Let these particles be GONE, and take them off the counts."""
    for i in lost:
        counts[table[BLOCK, i]] -= 1
        table[BLOCK, i] = GONE


@kernel
def tidy(table: Table, stop: int) -> Integer:
    """Close the gaps of those that are GONE. Returns the new stop."""
    first = 0
    while first < stop and table[BLOCK, first] != GONE:
        first += 1
    block, kept, number = table[BLOCK, first:stop], np.empty(stop - first, np.int32), 0
    for i in range(block.shape[0]):
        kept[np.uint64(number)] = i
        number += np.int64(block[i] != GONE)
    for row in (X, Y, U, V, BIRTH, SITE, PATH, SHIFT, TRACK, BLOCK):
        entries = table[row, first:stop]
        for i in range(number):
            entries[np.uint64(i)] = entries[np.uint64(kept[np.uint64(i)])]
    return np.int64(first + number)


@kernel
def _quarters(row: int, column: int, columns: int, halves: int) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Return the blocks of a cell, for `columns` of blocks; those of one that is a single block are four times that."""
    corner, half = np.uint64((row * columns + column) * halves), halves - 1
    return (
        corner,
        corner + np.uint64(half),
        corner + np.uint64(half * columns),
        corner + np.uint64(half * columns + half),
    )


@kernel
def find_thin(
    counts: Counts, grid: tuple[int, int], halves: int, per_cell: int, out: tuple[Int32[np.ndarray, " cells"], Flags]
) -> int:
    """Write into `out` how many particles each cell holds, and the blocks of cells that split; return how many cells.

    A cell that has lost half its particles to enlargement splits: it is thin all over, with at most one block in four
    empty and none above three quarters of its initial number. A cell that is one block does not tell, and never splits.
    """
    held, split = out
    split[:] = False
    splits = 0
    for row in range(grid[0]):
        for column in range(grid[1]):
            four = _quarters(row, column, grid[1] * halves, halves)
            a, b, c, d = counts[four[0]], counts[four[1]], counts[four[2]], counts[four[3]]
            total = (a + b + c + d) * halves**2 // 4
            held[row * grid[1] + column] = total
            if halves == 1 or 2 * total >= per_cell**2:
                continue
            empty = (a == 0) + (b == 0) + (c == 0) + (d == 0)
            if empty <= 1 and 4 * halves**2 * max(a, b, c, d) <= 3 * per_cell**2:
                splits += 1
                for block in four:
                    split[block] = True
    return splits


@kernel
def find_bare(counts: Counts, grid: tuple[int, int], halves: int, starved: int, split: Flags, bare: Flags) -> int:
    """Mark the blocks to be filled, after the splits; return how many.

    A cell that is bare on one side is being uncovered: its empty blocks are filled where it holds fewer than `starved`
    particles. One that has split is thin all over, and waits; each parent has a child in it.
    """
    bare[:] = False
    fills = 0
    for row in range(grid[0]):
        for column in range(grid[1]):
            four = _quarters(row, column, grid[1] * halves, halves)
            total = (counts[four[0]] + counts[four[1]] + counts[four[2]] + counts[four[3]]) * halves**2 // 4
            if total < starved and not split[four[0]]:
                for block in four:
                    fills += counts[block] == 0 and not bare[block]
                    bare[block] = counts[block] == 0
    return fills


@kernel
def inside(table: Table, stop: int, flags: Flags, counts: Counts) -> Some:
    """Return the particles in the blocks that are flagged, in increasing order."""
    number = 0
    for block in range(flags.shape[0]):
        number += counts[block] if flags[block] else 0
    # Without a branch for each particle, which the processor would often guess wrong; so one is written too many.
    found, out, block = 0, np.empty(number + 1, np.int32), table[BLOCK, :stop]
    for i in range(stop if number else 0):
        out[np.uint64(found)] = i
        found += np.int64((block[i] != GONE) & flags[np.uint64(max(block[i], 0))])
    return out[:found]
