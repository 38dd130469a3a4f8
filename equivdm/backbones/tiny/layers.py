"""The convolutional levels of the embedded network, and what its layers have in common."""

from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Layer = TypeVar("Layer", bound=nn.Module)

Maps = Float[Tensor, "frames _ rows columns"]
"""Feature maps, the frames of all videos in a row."""

Context = Float[Tensor, "samples features"]
"""What time and caption say, one vector per sample, or per frame."""

Modulation = Float[Tensor, "frames modulations 1 1"]
"""Scales and shifts of channels."""


class Level(nn.Module):
    """One resolution of the U: a convolution on the way in, one on the way out, and what leads to the next one."""

    def __init__(self, inputs: int, channels: int, below: int | None) -> None:
        """Build the level; `below` are the channels of the next one, of half the resolution, if there is one."""
        super().__init__()
        self.inward, self.outward = convolution(inputs, channels), convolution(2 * channels, channels)
        if below:
            self.down, self.up = nn.Conv2d(channels, below, 2, stride=2), nn.Conv2d(below, 4 * channels, 1)

    def leave(self, x: Maps, kept: Maps, modulation: Modulation) -> Maps:
        """Return what comes from below, or from the transformer, put together with what was kept on the way in."""
        return film(self.outward(channels_last(torch.cat([x, kept], 1))), modulation)


def film(x: Maps, modulation: Modulation) -> Maps:
    """Scale and shift each channel by what the context says, then SiLU: noise must count less the nearer t is to 1."""
    scale, shift = modulation.chunk(2, dim=1)
    return F.silu(torch.addcmul(shift, x, 1 + scale))


def convolution(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a 3 x 3 convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def channels_last(x: Maps) -> Maps:
    """Return the maps in the layout that convolutions on a CPU are fastest with."""
    return x.contiguous(memory_format=torch.channels_last)


def zero(layer: Layer) -> Layer:
    """Return the layer with all its weights at zero: a new network begins as the linear guess."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
