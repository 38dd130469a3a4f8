"""Maps T that move a frame and its latents alike: shifts on a torus by whole cells, quarter turns and flips."""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Shaped
from torch import Tensor

Maps = Shaped[Tensor, "*lead rows columns"]
"""Whatever lies on a square grid: pixels, latents or noise."""


class Move(NamedTuple):
    """T_k, from frame 0 to frame k: flip, then turn, then shift."""

    down: int = 0
    """Cells; what leaves below comes in above."""
    right: int = 0
    """Cells, likewise."""
    turns: int = 0
    """Quarter turns, counter-clockwise."""
    mirrored: bool = False
    """Whether left and right are exchanged."""

    @property
    def kind(self) -> Literal["shift", "turn", "flip"]:
        """What it is, but for those that do two things or none."""
        return "flip" if self.mirrored else "turn" if self.turns else "shift"

    def apply(self, maps: Maps, cell: int = 1) -> Maps:
        """Return T of maps on a grid on which a cell has `cell` entries a side. A permutation: no value changes."""
        flipped = maps.flip(-1) if self.mirrored else maps
        turned = torch.rot90(flipped, self.turns, (-2, -1)) if self.turns % 4 else flipped
        shift = (self.down * cell, self.right * cell)
        return torch.roll(turned, shift, (-2, -1)) if any(shift) else turned
