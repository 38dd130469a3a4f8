"""Frames as networks for pictures want them."""

from collections.abc import Sequence
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float32, UInt8
from torch import Tensor
from torch.nn import functional

from equivdm.arrays import Frames

Bytes = UInt8[Tensor, "frames 3 height width"]
Pictures = Float32[Tensor, "frames 3 _ _"]
"""RGB, 0 to 1 where not said otherwise."""

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation of RGB."""


def to_bytes(frames: Frames, device: torch.device) -> Bytes:
    """Return frames with the channels first."""
    return rearrange(torch.tensor(frames, device=device), "t h w c -> t c h w").contiguous()


def to_pictures(frames: Frames, device: torch.device) -> Pictures:
    """Return frames as floats, 0 to 1."""
    return to_bytes(frames, device).float() / 255


def scaled(pictures: Pictures, shorter: int, mode: Literal["bilinear", "bicubic"]) -> Pictures:
    """Scale the shorter side to so many pixels, the longer one with it, rounded up; without a low-pass, as the metrics'
    own code does. What cubic curves overshoot is clipped."""
    height, width = pictures.shape[-2:]
    least = min(height, width)
    size = [-(-side * shorter // least) for side in (height, width)]
    return functional.interpolate(pictures, size, mode=mode, align_corners=False).clamp(0, 1)


def centred(pictures: Pictures, side: int) -> Pictures:
    """Cut a square from the middle, one pixel towards the start where it cannot be exact."""
    top, left = ((size - side) // 2 for size in pictures.shape[-2:])
    return pictures[..., top : top + side, left : left + side]


def normalised(pictures: Pictures, mean: Sequence[float], deviation: Sequence[float]) -> Pictures:
    """Subtract a mean of each channel, and divide by its deviation."""
    less, by = (torch.tensor(each, device=pictures.device).view(3, 1, 1) for each in (mean, deviation))
    return (pictures - less) / by
