"""Flow that lies beside a video, such as a renderer's, at the frames and the size of a clip (docs/flow.md)."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32

from equivdm.arrays import Flow
from equivdm.errors import BadFlow
from equivdm.flow.formats import Direction, Field, FlowSource, open_source
from equivdm.flow.warp import warp_back
from equivdm.video.crop import centred_crop
from equivdm.video.frame import Fit, Shape
from equivdm.video.probe import VideoInfo


def find_flow(video: Path) -> Path:
    """Return where the vectors of NAME.mp4 lie: the folder `NAME.flow`, else `NAME.flow.npz` beside it.

    Raises BadFlow where there is neither.
    """
    for place in (video.with_suffix(".flow"), video.with_suffix(".flow.npz")):
        if place.exists():
            return place
    raise BadFlow(f"no motion vectors beside {video.name}: wanted {video.stem}.flow/ or {video.stem}.flow.npz")


def read_flow(place: Path, indices: Sequence[int], video: VideoInfo, size: Shape) -> tuple[Flow, Flow | None]:
    """Return the flow between the frames of a clip, as `decode` shows them: cropped alike, vectors scaled alike.

    Where the clip leaves frames out, their flows are chained; where it repeats a frame, nothing moves. Vectors that are
    not known are NaN, and so is what needs them.

    Args:
        place: what `find_flow` returns.
        indices: frame numbers of the clip, at least two, never falling.
        video: what `probe` says of the video.
        size: (height, width) of the clip, or how a model's frames lie on the video, as `decode` is told.

    Returns:
        Forward and backward flow; None for the second where the files have none. It is not guessed: minus the forward
        flow lies on the wrong pixels, and knows nothing of what is uncovered.

    Raises:
        ValueError: for indices that fall, or are not the video's.
        BadFlow: for files that are absent, damaged, or not of the video's size and length.
        UsageError: for OpenEXR files without the package OpenEXR.
    """
    frames = len(video.timestamps)
    if len(indices) < 2 or min(indices) < 0 or max(indices) >= frames or any(b < a for a, b in pairwise(indices)):
        raise ValueError(f"got frames {list(indices)[:8]} of a video of {frames}: at least two, none before its last")
    source = open_source(place)
    if source.steps not in (None, frames - 1):
        raise BadFlow(f"{place.name}: got {source.steps} steps, wanted {frames - 1} for a video of {frames} frames")
    forward, backward = (
        np.stack([_fitted(_between(source, way, a, b, video), video, size) for a, b in pairwise(indices)])
        if way == "forward" or source.two_ways
        else None
        for way in ("forward", "backward")
    )
    assert forward is not None
    return forward, backward


def _between(source: FlowSource, direction: Direction, first: int, last: int, video: VideoInfo) -> Field:
    """Chain the steps between two frames: D_(k+1)(p) = D_k(p) + f_k(p + D_k(p))."""
    total = np.zeros((video.height, video.width, 2), np.float32)
    steps = range(first, last)
    for count, step in enumerate(steps if direction == "forward" else reversed(steps)):
        field = source.read(direction, step)
        if field.shape != total.shape:
            got, wanted = (f"{width}x{height}" for height, width, _ in (field.shape, total.shape))
            raise BadFlow(f"{direction} flow of step {step}: got {got} px, wanted {wanted} as the upright video has")
        total = field if count == 0 else _chained(total, field)
    return total


def _chained(total: Field, field: Field) -> Field:
    known = np.isfinite(total).all(-1, keepdims=True)
    safe = np.where(known, total, np.float32(0))
    return np.where(known, safe + warp_back(field, safe), np.float32(np.nan))


def _fitted(field: Field, video: VideoInfo, size: Shape) -> Float32[np.ndarray, "_ _ 2"]:
    """Cut and scale the field as `decode` does the pictures, and its vectors with it."""
    if size is None:
        return field
    if isinstance(size, Fit):
        return size.apply_flow(field)
    crop = centred_crop(video.height, video.width, video.aspect, size)
    # Cubic interpolation, which pictures are enlarged by, would overshoot at the edges of objects.
    interpolation = cv2.INTER_AREA if crop.shrinks_to(size) else cv2.INTER_LINEAR
    scaled = cv2.resize(np.ascontiguousarray(field[crop.part]), size[::-1], interpolation=interpolation)
    return scaled * np.array([size[1] / crop.columns, size[0] / crop.rows], np.float32)
