"""A latent grid laid over the frame: cells, the blocks they are judged by, and the sites where particles are born."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int32

PIXEL_BITS = 16
PIXEL = 1 << PIXEL_BITS
"""A pixel in the fixed point of positions and displacements."""


@dataclass(frozen=True)
class Lattice:
    """A latent grid, `per_cell` x `per_cell` birth sites to a cell. It covers the whole frame, whatever their sizes."""

    size: tuple[int, int]
    """Height and width of the flow, px."""
    grid: tuple[int, int]
    """Height and width of the latent grid, cells."""
    per_cell: int

    @property
    def halves(self) -> int:
        """Blocks along a cell's side: emptiness and crowding are judged by half cells where those hold enough sites."""
        return 2 if self.per_cell >= 4 and self.per_cell % 2 == 0 else 1

    @property
    def sites(self) -> tuple[int, int]:
        """Height and width of the lattice of birth sites."""
        return self.grid[0] * self.per_cell, self.grid[1] * self.per_cell

    @property
    def blocks(self) -> tuple[int, int]:
        """Height and width of the grid of blocks."""
        return self.grid[0] * self.halves, self.grid[1] * self.halves

    @property
    def per_block(self) -> int:
        """Birth sites along a block's side."""
        return self.per_cell // self.halves

    @property
    def units(self) -> tuple[int, int]:
        """1/512 of a site's sides, down and right, in 1/65536 px, rounded down; what shifts count in."""
        rows, columns = self.sites
        return self.size[0] * PIXEL // (512 * rows), self.size[1] * PIXEL // (512 * columns)

    @cached_property
    def cell_of(self) -> Int32[np.ndarray, " blocks"]:
        """The row-major cell of each block."""
        row, column = np.divmod(np.arange(self.blocks[0] * self.blocks[1], dtype=np.int32), np.int32(self.blocks[1]))
        return row // np.int32(self.halves) * np.int32(self.grid[1]) + column // np.int32(self.halves)

    def sites_of(self, blocks: np.ndarray) -> Int32[np.ndarray, " sites"]:
        """Return the sites of the given blocks, block by block."""
        side, across = self.per_block, self.sites[1]
        row, column = np.divmod(blocks.astype(np.int32), np.int32(self.blocks[1]))
        corner = row * np.int32(side * across) + column * np.int32(side)
        offsets = np.add.outer(np.arange(side) * across, np.arange(side)).reshape(-1)
        # Site by site of a block: numpy takes long over the many short rows of one sum.
        return np.stack([corner + np.int32(offset) for offset in offsets], axis=1).reshape(-1)

    def spread(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return a quarter of the distance between neighbours, down and right, where a cell holds `numbers` particles.

        In 1/65536 px. The square root and the quotient are rounded alike on every machine.
        """
        quarter = PIXEL / (4 * np.sqrt(numbers.astype(np.float64)))
        down, right = (pixels / cells * quarter for pixels, cells in zip(self.size, self.grid, strict=True))
        return np.rint(down).astype(np.int32), np.rint(right).astype(np.int32)
