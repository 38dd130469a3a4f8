"""Dense conditions computed from the driving video."""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from equivdm.arrays import ControlMap, Frames
from equivdm.config import ControlConfig
from equivdm.errors import UsageError
from equivdm.networks.weights import weights_digest
from equivdm.relative_control import build_relative, luma

_GREY_SIGMA = 1.0
"""Blur in pixels of `grey`: the model has texture to add."""

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

    All kinds are scaled alike over the whole clip, so that they do not flicker; a longer video has
    `equivdm.control_scale`. `grey` is the blurred grey picture as
    it is; `soft_edge` is the length of its gradient, `canny` the binary edges of Canny (1986), both relative to the
    clip's strongest gradients; `depth` is inverse depth (near is bright) between the clip's farthest and nearest;
    `low_resolution` is the mean of `factor` x `factor` pixels, enlarged again bicubically, and `video` the video as it
    is, both RGB; `none` is all zeros.

    Raises:
        UsageError: for a depth model that cannot be loaded, and for kind=file, which `read_control` reads.
    """
    if config.kind == "file":
        raise UsageError("control.kind: got file, wanted another: conditions are computed here, from frames alone")
    kind = build_relative(config)
    if kind is None:
        low_resolution = partial(_low_resolution, factor=config.factor)
        return {"none": _nothing, "grey": _grey, "video": _video, "low_resolution": low_resolution}[config.kind]

    def of_clip(frames: Frames) -> ControlMap:
        maps = kind.maps(frames)
        return kind.paint(frames, maps, kind.scale(lambda share: float(np.percentile(maps, share))))

    return of_clip


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
    return np.stack([cv2.GaussianBlur(picture, (0, 0), _GREY_SIGMA) for picture in luma(frames)])


def _low_resolution(frames: Frames, factor: int) -> ControlMap:
    height, width = frames.shape[1:3]
    small = (max(1, round(width / factor)), max(1, round(height / factor)))
    shrunk = (cv2.resize(frame, small, interpolation=cv2.INTER_AREA) for frame in frames)
    return np.stack([cv2.resize(each, (width, height), interpolation=cv2.INTER_CUBIC) for each in shrunk])


def _video(frames: Frames) -> ControlMap:
    return frames
