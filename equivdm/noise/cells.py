"""The cell that each particle is counted in, when a frame is emitted."""

import numpy as np
from jaxtyping import Int32

from equivdm.compiled import kernel
from equivdm.noise.lattice import PIXEL
from equivdm.noise.table import BLOCK, SHIFT, Some, Table, X, Y

Size = tuple[int, int]


@kernel
def _cells_of(x: Some, y: Some, shift: Some, size: Size, grid: Size, units: Size, out: Some) -> None:
    """Write the cells of positions off their places by a shift; see `equivdm.noise.flows` for the division."""
    last_x, last_y = np.int32(size[1] * PIXEL - 1), np.int32(size[0] * PIXEL - 1)
    unit_x, unit_y, zero = np.int32(units[1]), np.int32(units[0]), np.int32(0)
    down, right = grid[0] / (size[0] * PIXEL), grid[1] / (size[1] * PIXEL)
    half_row, half_column = 0.5 / grid[0], 0.5 / grid[1]
    for i in range(x.shape[0]):
        off_x, off_y = np.int32(2 * (shift[i] & 255) - 255), np.int32(2 * (shift[i] >> 8) - 255)
        at_x = min(max(np.int32(x[i] + np.int32(off_x * unit_x)), zero), last_x)
        at_y = min(max(np.int32(y[i] + np.int32(off_y * unit_y)), zero), last_y)
        row, column = np.int32((at_y + half_row) * down), np.int32((at_x + half_column) * right)
        out[i] = row * np.int32(grid[1]) + column


@kernel
def count_in(
    table: Table, stop: int, cell_of: Int32[np.ndarray, " blocks"], size: Size, grid: Size, units: Size
) -> Some:
    """Return the cell that each of the first `stop` particles, of which none is GONE, is counted in.

    It is counted off its place by its shift, up to half a site each way, as if it had been born anywhere in its site:
    else the even rows of particles would cross from one cell to the next all at once. But where that would leave a cell
    none of its own particles, they are all counted where they lie; so no cell is ever empty.
    """
    block, cells = table[BLOCK, :stop], np.empty(stop, np.int32)
    _cells_of(table[X, :stop], table[Y, :stop], table[SHIFT, :stop], size, grid, units, cells)
    kept = np.zeros(grid[0] * grid[1], np.bool_)
    for i in range(stop):
        own = cell_of[block[i]]
        if cells[i] == own:
            kept[own] = True
    for i in range(stop):
        own = cell_of[block[i]]
        if not kept[own]:
            cells[i] = own
    return cells
