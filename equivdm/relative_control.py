"""Dense conditions whose brightness is relative to all that is scaled together: the edges of a video, its depth."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from equivdm.arrays import ControlMap, Frames
from equivdm.config import ControlConfig

_SIGMA = 0.8
"""Blur in pixels before the gradient: soft edges forget grain, keep outlines."""

_WHITE = 99.0
"""Percentile of the gradients, or of inverse depth, that becomes 255."""

Maps = Float32[np.ndarray, "time height width"]
"""What a condition is made of, one number a pixel."""

Percentile = Callable[[float], float]
"""From a share in percent to the number that this share of all is below."""


class Scale(NamedTuple):
    """The numbers that become 0 and 255."""

    black: float
    white: float


@runtime_checkable
class Relative(Protocol):
    """A kind of condition that has a scale."""

    def maps(self, frames: Frames) -> Maps:
        """Return what the scale is of."""
        ...

    def scale(self, percentile: Percentile) -> Scale | None:
        """Return the scale; None where all is flat."""
        ...

    def paint(self, frames: Frames, maps: Maps, scale: Scale | None) -> ControlMap:
        """Return the condition of frames and their maps."""
        ...


class Edges:
    """The length of the picture's gradient, relative to the strongest."""

    def maps(self, frames: Frames) -> Maps:
        """Return the gradients' lengths, in grey levels a pixel."""
        return np.stack([_gradient(picture) for picture in luma(frames)])

    def scale(self, percentile: Percentile) -> Scale | None:
        """Return the scale; less than one level a pixel is no edge, only rounding."""
        white = percentile(_WHITE)
        return Scale(0, white) if white >= 1 else None

    def paint(self, frames: Frames, maps: Maps, scale: Scale | None) -> ControlMap:
        """Return the lengths on the scale."""
        return _black(maps) if scale is None else _bytes(maps * (255 / scale.white))


class Canny(Edges):
    """Binary edges (Canny 1986), by thresholds relative to the strongest gradients."""

    def paint(self, frames: Frames, maps: Maps, scale: Scale | None) -> ControlMap:
        """Return 255 on edges, 0 elsewhere."""
        if scale is None:
            return _black(maps)
        # Canny's own gradient is eight times as long: Sobel's kernel without its norm.
        white = scale.white
        return np.stack([cv2.Canny(_blur(picture), 2 * white, 4 * white, L2gradient=True) for picture in luma(frames)])


@dataclass(frozen=True)
class Nearness:
    """Inverse depth between the farthest and the nearest; the outermost hundredths are clipped."""

    depth: Callable[[Frames], Maps]

    def maps(self, frames: Frames) -> Maps:
        """Return inverse depth."""
        return self.depth(frames)

    def scale(self, percentile: Percentile) -> Scale | None:
        """Return the scale, farthest to nearest."""
        # numpy interpolates, and what follows is computed, in the precision of the share.
        black, white = (percentile(np.float64(share)) for share in (100 - _WHITE, _WHITE))
        return Scale(black, white) if white > black else None

    def paint(self, frames: Frames, maps: Maps, scale: Scale | None) -> ControlMap:
        """Return inverse depth on the scale."""
        if scale is None:
            return _black(maps)
        return _bytes((maps.astype(np.float64) - scale.black) * (255 / (scale.white - scale.black)))


def build_relative(config: ControlConfig) -> Relative | None:
    """Return the kind of a config; None where it has no scale. Raises UsageError for a model that cannot be loaded."""
    if config.model is not None:
        from equivdm.networks.depth import Depth

        return Nearness(Depth(config.model))
    return {"soft_edge": Edges(), "canny": Canny()}.get(config.kind)


def luma(frames: Frames) -> list[UInt8[np.ndarray, "height width"]]:
    """Return the grey pictures."""
    return [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]


def _black(maps: Maps) -> ControlMap:
    return np.zeros(maps.shape, np.uint8)


def _bytes(levels: Float[np.ndarray, "time height width"]) -> ControlMap:
    return np.clip(np.round(levels), 0, 255).astype(np.uint8)


def _gradient(picture: UInt8[np.ndarray, "height width"]) -> Float32[np.ndarray, "height width"]:
    smooth = _blur(picture.astype(np.float32))
    across, down = (cv2.Sobel(smooth, cv2.CV_32F, dx, dy, ksize=3) / 8 for dx, dy in ((1, 0), (0, 1)))
    return np.hypot(across, down)


def _blur(picture: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), _SIGMA)
