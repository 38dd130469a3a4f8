"""Dense conditions computed from the driving video."""

import cv2
import numpy as np
from jaxtyping import Float32

from equivdm.arrays import ControlMap, Frames
from equivdm.config import ControlConfig

_SIGMA = 0.8
"""Blur in pixels before the gradient: soft edges forget grain, keep outlines."""

_GREY_SIGMA = 1.0
"""Blur in pixels of `grey`: the model has texture to add."""

_WHITE = 99.0
"""Percentile of the clip's gradients that becomes 255."""


def control_map(frames: Frames, config: ControlConfig) -> ControlMap:
    """Return the clip's dense condition, 0 to 255, scaled alike over the whole clip so that it does not flicker.

    `grey` is the blurred grey picture as it is; `soft_edge` is the length of its gradient, `canny` the binary edges of
    Canny (1986), both relative to the clip's strongest gradients; `none` is all zeros.
    """
    if config.kind == "none":
        return np.zeros(frames.shape[:3], np.uint8)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    if config.kind == "grey":
        return np.stack([cv2.GaussianBlur(picture, (0, 0), _GREY_SIGMA) for picture in grey])
    magnitude = np.stack([_gradient(picture) for picture in grey])
    white = float(np.percentile(magnitude, _WHITE))
    if white < 1.0:  # less than one level a pixel: a flat clip has no edges, only rounding
        return np.zeros(frames.shape[:3], np.uint8)
    if config.kind == "canny":
        # Canny's own gradient is eight times as long: Sobel's kernel without its norm.
        return np.stack([cv2.Canny(_blur(picture), 2 * white, 4 * white, L2gradient=True) for picture in grey])
    return np.clip(np.round(magnitude * (255 / white)), 0, 255).astype(np.uint8)


def _gradient(picture: np.ndarray) -> Float32[np.ndarray, "height width"]:
    """Length of the gradient, in grey levels a pixel."""
    smooth = _blur(picture.astype(np.float32))
    across, down = (cv2.Sobel(smooth, cv2.CV_32F, dx, dy, ksize=3) / 8 for dx, dy in ((1, 0), (0, 1)))
    return np.hypot(across, down)


def _blur(picture: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), _SIGMA)
