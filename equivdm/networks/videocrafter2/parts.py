"""Layers that several networks share."""

from typing import TypeVar

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from equivdm.networks.videocrafter2.sizes import GROUPS

Layer = TypeVar("Layer", bound=nn.Module)

Maps = Float[Tensor, "frames channels rows columns"]
"""Feature maps, the frames of all videos in a row."""

NewMaps = Float[Tensor, "frames new_channels new_rows new_columns"]
"""What a layer makes of maps where channels, rows or columns change."""


class Upsample(nn.Module):
    """Twice the rows and columns: each value four times, then a convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = convolution(width, width)

    def forward(self, x: Maps) -> NewMaps:
        """Return maps of twice the size."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


def convolution(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a convolution of 3 x 3 that keeps the size."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def normalisation(width: int, eps: float) -> nn.GroupNorm:
    """Return a normalisation in groups of channels; `eps` differs between the public parts."""
    return nn.GroupNorm(GROUPS, width, eps=eps)


def zeroed(layer: Layer) -> Layer:
    """Return the layer with all weights at zero: in a new network it adds nothing."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
