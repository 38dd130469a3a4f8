"""Dense conditions computed from the driving video."""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from jaxtyping import Float32

from equivdm.arrays import ControlMap, Frames
from equivdm.config import ControlConfig
from equivdm.errors import UsageError
from equivdm.networks.weights import weights_digest

_SIGMA = 0.8
"""Blur in pixels before the gradient: soft edges forget grain, keep outlines."""

_GREY_SIGMA = 1.0
"""Blur in pixels of `grey`: the model has texture to add."""

_WHITE = 99.0
"""Percentile of the clip's gradients, or of its inverse depth, that becomes 255."""


Control = Callable[[Frames], ControlMap]
"""From a clip to its dense condition, 0 to 255."""

CONTROL_VERSIONS = {
    "none": 1,
    "grey": 1,
    "soft_edge": 1,
    "canny": 1,
    "depth": 1,
    "low_resolution": 1,
    "video": 1,
    "file": 1,
}
"""Number of each kind's arithmetic: raise it when the same frames would give another condition."""


def build_control(config: ControlConfig) -> Control:
    """Return what computes the condition. It may hold a network: build it once a process.

    All kinds are scaled alike over the whole clip, so that they do not flicker. `grey` is the blurred grey picture as
    it is; `soft_edge` is the length of its gradient, `canny` the binary edges of Canny (1986), both relative to the
    clip's strongest gradients; `depth` is inverse depth (near is bright) between the clip's farthest and nearest;
    `low_resolution` is the mean of `factor` x `factor` pixels, enlarged again bicubically, and `video` the video as it
    is, both RGB; `none` is all zeros.

    Raises:
        UsageError: for a depth model that cannot be loaded, and for kind=file, which `read_control` reads.
    """
    if config.kind == "file":
        raise UsageError("control.kind: got file, wanted another: conditions are computed here, from frames alone")
    if config.model is None:
        low_resolution = partial(_low_resolution, factor=config.factor)
        kinds = {"none": _nothing, "grey": _grey, "soft_edge": _soft_edge, "canny": _canny, "video": _video}
        return (kinds | {"low_resolution": low_resolution})[config.kind]
    from equivdm.networks.depth import Depth

    depth = Depth(config.model)
    return lambda frames: _between_extremes(depth(frames))


def control_map(frames: Frames, config: ControlConfig) -> ControlMap:
    """Return the clip's dense condition; where there are many clips, call `build_control` once."""
    return build_control(config)(frames)


def control_identity(config: ControlConfig) -> dict[str, str | int]:
    """Return all that decides the condition of given frames: kind, version, and the model's digest or the factor.

    Files beside a video are part of the input: name them by `equivdm.beside.files_digest`.

    Raises:
        UsageError: for a model that cannot be read.
    """
    identity: dict[str, str | int] = {"kind": config.kind, "version": CONTROL_VERSIONS[config.kind]}
    if config.kind == "low_resolution":
        return identity | {"factor": config.factor}
    return identity if config.model is None else identity | {"model": weights_digest(config.model)}


def _nothing(frames: Frames) -> ControlMap:
    return np.zeros(frames.shape[:3], np.uint8)


def _grey(frames: Frames) -> ControlMap:
    return np.stack([cv2.GaussianBlur(picture, (0, 0), _GREY_SIGMA) for picture in _luma(frames)])


def _soft_edge(frames: Frames) -> ControlMap:
    magnitude = np.stack([_gradient(picture) for picture in _luma(frames)])
    white = _white(magnitude)
    if white is None:
        return _nothing(frames)
    return np.clip(np.round(magnitude * (255 / white)), 0, 255).astype(np.uint8)


def _canny(frames: Frames) -> ControlMap:
    grey = _luma(frames)
    white = _white(np.stack([_gradient(picture) for picture in grey]))
    if white is None:
        return _nothing(frames)
    # Canny's own gradient is eight times as long: Sobel's kernel without its norm.
    return np.stack([cv2.Canny(_blur(picture), 2 * white, 4 * white, L2gradient=True) for picture in grey])


def _low_resolution(frames: Frames, factor: int) -> ControlMap:
    height, width = frames.shape[1:3]
    small = (max(1, round(width / factor)), max(1, round(height / factor)))
    shrunk = (cv2.resize(frame, small, interpolation=cv2.INTER_AREA) for frame in frames)
    return np.stack([cv2.resize(each, (width, height), interpolation=cv2.INTER_CUBIC) for each in shrunk])


def _video(frames: Frames) -> ControlMap:
    return frames


def _between_extremes(maps: Float32[np.ndarray, "time height width"]) -> ControlMap:
    """Scale linearly, one scale for all frames; the outermost hundredths are clipped. A flat clip is black."""
    low, high = np.percentile(maps, [100 - _WHITE, _WHITE])
    if not high > low:
        return np.zeros(maps.shape, np.uint8)
    return np.clip(np.round((maps - low) * (255 / (high - low))), 0, 255).astype(np.uint8)


def _luma(frames: Frames) -> list[np.ndarray]:
    return [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]


def _white(magnitude: Float32[np.ndarray, "time height width"]) -> float | None:
    """The gradient to be 255; None for a flat clip: less than one level a pixel is no edge, only rounding."""
    white = float(np.percentile(magnitude, _WHITE))
    return white if white >= 1 else None


def _gradient(picture: np.ndarray) -> Float32[np.ndarray, "height width"]:
    """Length of the gradient, in grey levels a pixel."""
    smooth = _blur(picture.astype(np.float32))
    across, down = (cv2.Sobel(smooth, cv2.CV_32F, dx, dy, ksize=3) / 8 for dx, dy in ((1, 0), (0, 1)))
    return np.hypot(across, down)


def _blur(picture: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), _SIGMA)
