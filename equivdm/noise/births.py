"""New rows of the table of particles: births at sites, and the children of those that split."""

import numpy as np
from jaxtyping import Int32

from equivdm.compiled import Integer, kernel
from equivdm.noise.lattice import PIXEL
from equivdm.noise.table import BIRTH, BLOCK, PATH, SHIFT, SITE, TRACK, Counts, Some, Table, U, V, X, Y

Size = tuple[int, int]

ROOT = 1
"""Path of a particle that was born; child j of a path is 4 * path + j."""


@kernel
def _middle(site: Integer, length: Integer, sites: Integer, share: float) -> np.int32:
    """Return the middle of a site's interval: (site + 1/2) * length / sites, rounded down.

    `share` is length / (2 * sites). Its product is at most one off, as the remainder tells; a division takes longer
    than all else.
    """
    parts = 2 * np.int64(site) + 1
    whole = np.int64(np.float64(parts) * share)
    left = parts * length - whole * (2 * sites)
    return np.int32(whole + np.int64(left >= 2 * sites) - np.int64(left < 0))


@kernel
def bear(table: Table, first: int, born: Some, frame: int, shift: Some, size: Size, sites: Size) -> None:
    """Write a particle in the middle of each site of `born` to the table, from row `first` on; enter() does the rest.

    The lattice has `sites` (rows, columns) over a frame of `size` px; `shift` is what the row of that name will hold.
    """
    stop = first + born.shape[0]
    x, y, path, shifts = table[X, first:stop], table[Y, first:stop], table[PATH, first:stop], table[SHIFT, first:stop]
    birth, site = table[BIRTH, first:stop], table[SITE, first:stop]
    height, width = size[0] * PIXEL, size[1] * PIXEL
    down, right = height / (2 * sites[0]), width / (2 * sites[1])
    per_row, half = 1 / sites[1], 0.5 / sites[1]
    for i in range(born.shape[0]):
        row = np.int32(born[i] * per_row + half)
        column = born[i] - row * sites[1]
        x[i] = _middle(column, width, sites[1], right)
        y[i] = _middle(row, height, sites[0], down)
        birth[i], site[i], path[i], shifts[i] = frame, born[i], ROOT, shift[i]


@kernel
def split(table: Table, first: int, parents: Some, spread: Int32[np.ndarray, "2 parents"], size: Size) -> None:
    """Write four children of each parent to the table, from row `first` on, a quarter of their distance off.

    `spread` is that quarter, down and right. They are counted with their parent's shift.
    """
    last_x, last_y, to = size[1] * PIXEL - 1, size[0] * PIXEL - 1, first
    for place in range(parents.shape[0]):
        parent, down, right = parents[place], spread[0, place], spread[1, place]
        for child in range(4):
            table[X, to] = min(max(table[X, parent] + (2 * (child & 1) - 1) * right, 0), last_x)
            table[Y, to] = min(max(table[Y, parent] + ((child & 2) - 1) * down, 0), last_y)
            table[BIRTH, to], table[SITE, to] = table[BIRTH, parent], table[SITE, parent]
            table[PATH, to], table[SHIFT, to] = 4 * table[PATH, parent] + child, table[SHIFT, parent]
            to += 1


@kernel
def enter(table: Table, part: Size, size: Size, blocks: Size, counts: Counts) -> None:
    """Find the blocks of the new particles `part` (from, to), and count them in; they have not moved yet.

    Blocks (rows, columns) lie over a frame of `size` px; see `equivdm.noise.flows` for the division.
    """
    per_row, per_column = 1 / (size[0] * PIXEL), 1 / (size[1] * PIXEL)
    first, stop = part
    x, y, block = table[X, first:stop], table[Y, first:stop], table[BLOCK, first:stop]
    u, v, track = table[U, first:stop], table[V, first:stop], table[TRACK, first:stop]
    for i in range(x.shape[0]):
        row = np.int32((np.int64(y[i]) * blocks[0] + 0.5) * per_row)
        block[i] = row * blocks[1] + np.int32((np.int64(x[i]) * blocks[1] + 0.5) * per_column)
        u[i], v[i], track[i] = 0, 0, -1
    for i in range(x.shape[0]):
        counts[np.uint64(block[i])] += 1
