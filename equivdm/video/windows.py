"""Which frames of a video become clips, and at which size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64

from equivdm.config import Bucket, ClipConfig
from equivdm.video.shots import Shot

Stamps = Float64[np.ndarray, " frames"]
"""Seconds, rising; one per frame."""

_TICK = 1e-3
"""Time stamps may be rounded to so many seconds (webm), so a frame counts as earlier if it is later by less."""

_SAME_ASPECT = 1e-6
"""Logarithms of aspects that differ by less are the same."""


@dataclass(frozen=True)
class Window:
    """One clip of a video."""

    index: int
    """Number among all windows of the video; leaving windows out does not renumber the others."""
    shot: int
    """Number of its shot among those that were given."""
    frames: tuple[int, ...]
    """Frame numbers in order of presentation; one comes twice where the clip's rate is above the video's."""
    fps: float
    """Frames a second of the clip."""
    height: int
    """Height of the clip in pixels."""
    width: int
    """Width of the clip in pixels."""


@dataclass(frozen=True)
class Shortage:
    """Why a video has no window."""

    rule: Literal["too_short", "shots_too_short"]
    """`too_short`: it would have none even as one shot; `shots_too_short`: it would, but no shot is long enough."""
    frames: int
    """Frames of the video, or of its longest shot, at the clip's rate."""
    wanted: int
    """Frames that the shortest clip of a fitting shape needs."""


def windows(
    timestamps: Stamps,
    fps: float,
    clip: ClipConfig,
    shots: Sequence[Shot] | None = None,
    display: tuple[int, int] | None = None,
) -> list[Window]:
    """Cut a video into windows, each within one shot.

    Without `clip.fps` the frames are consecutive, whatever their times. With it, the frame shown at each of the regular
    times t0 + k / clip.fps is taken, t0 being the shot's first: the nearest earlier one. Windows start every
    `clip.stride` frames of the clip's rate, or follow each other; what is left at a shot's end is too short and
    dropped. Of more than `clip.max_windows`, ones evenly spread over the video stay.

    Args:
        timestamps: seconds, rising.
        fps: the video's average rate.
        clip: length, rate, stride, number and buckets.
        shots: in order; the whole video is one where none are given.
        display: (height, width) of the video as displayed, by which a bucket is chosen; not needed without buckets.

    Returns:
        Windows in order; none where no shot is long enough (`shortage` says why).

    Raises:
        ValueError: for a rate that is not positive, time stamps that fall, a shot beyond the video, or buckets without
            the displayed size.
    """
    if fps <= 0 or (np.diff(timestamps) < 0).any():
        raise ValueError(f"got fps={fps} and {len(timestamps)} time stamps: a positive rate and rising stamps")
    spans: list[_Span] = []
    for number, shot in enumerate(_whole(timestamps) if shots is None else shots):
        frames = _frames(timestamps, clip, shot)
        bucket = choose_bucket(clip.choices, display, len(frames))
        if bucket is not None:
            starts = range(0, len(frames) - bucket.frames + 1, clip.stride or bucket.frames)
            spans += [_Span(number, bucket, frames[start : start + bucket.frames]) for start in starts]
    kept = range(len(spans))
    if clip.max_windows is not None and clip.max_windows < len(spans):
        # The middles of equal parts: one window is the middle of the video, not its beginning.
        kept = [int((part + 0.5) * len(spans) / clip.max_windows) for part in range(clip.max_windows)]
    return [_window(index, spans[index], clip.fps or fps) for index in kept]


def shortage(
    timestamps: Stamps, clip: ClipConfig, shots: Sequence[Shot], display: tuple[int, int] | None = None
) -> Shortage | None:
    """Say why `windows` finds none in these shots; None where it does find some. It takes and raises the same."""
    wanted = min(bucket.frames for bucket in _nearest_shape(clip.choices, display))
    whole = max((len(_frames(timestamps, clip, shot)) for shot in _whole(timestamps)), default=0)
    if whole < wanted:
        return Shortage("too_short", whole, wanted)
    longest = max((len(_frames(timestamps, clip, shot)) for shot in shots), default=0)
    return Shortage("shots_too_short", longest, wanted) if longest < wanted else None


def choose_bucket(buckets: Sequence[Bucket], display: tuple[int, int] | None, frames: int) -> Bucket | None:
    """Choose the bucket for a shot.

    First by shape: those whose aspect is nearest to the displayed one, as the logarithm of their ratio, so that a
    short shot is not cut to another shape. Of these, those that the shot's frames fill. Of these the largest that needs
    no enlarging, or else the smallest. Of the same size the longest. Of equals the first.

    Args:
        buckets: at least one.
        display: (height, width) of the upright picture in square pixels; not needed where there is one bucket.
        frames: frames of the shot, at the clip's rate.

    Returns:
        The bucket; None where the shot is too short for those of its shape.

    Raises:
        ValueError: for several buckets without the displayed size, or a displayed size without pixels.
    """
    filled = [bucket for bucket in _nearest_shape(buckets, display) if bucket.frames <= frames]
    if not filled or display is None:
        return max(filled, key=lambda bucket: bucket.frames, default=None)
    height, width = display

    def merit(bucket: Bucket) -> tuple[bool, int, int]:
        area, fits = bucket.height * bucket.width, bucket.height <= height and bucket.width <= width
        return fits, area if fits else -area, bucket.frames

    return max(filled, key=merit)


@dataclass(frozen=True)
class _Span:
    """A window before it is known whether it stays."""

    shot: int
    bucket: Bucket
    frames: Int64[np.ndarray, " frames"]


def _window(index: int, span: _Span, fps: float) -> Window:
    frames = tuple(int(number) for number in span.frames)
    return Window(index, span.shot, frames, fps, span.bucket.height, span.bucket.width)


def _nearest_shape(buckets: Sequence[Bucket], display: tuple[int, int] | None) -> Sequence[Bucket]:
    if len(buckets) == 1:
        return buckets
    if display is None or min(display) < 1:
        raise ValueError(
            f"got {len(buckets)} buckets and the displayed size {display}: a height and width to choose by"
        )
    aspect = math.log(display[1] / display[0])
    apart = [abs(math.log(bucket.width / bucket.height) - aspect) for bucket in buckets]
    nearest = min(apart) + _SAME_ASPECT
    return [bucket for bucket, distance in zip(buckets, apart, strict=True) if distance <= nearest]


def _whole(timestamps: Stamps) -> list[Shot]:
    return [Shot(0, len(timestamps))] if len(timestamps) else []


def _frames(timestamps: Stamps, clip: ClipConfig, shot: Shot) -> Int64[np.ndarray, " taken"]:
    """Frame numbers of a shot at the clip's rate."""
    if not 0 <= shot.start < shot.stop <= len(timestamps):
        raise ValueError(f"got {shot} of a video of {len(timestamps)} frames: frames that it has")
    if clip.fps is None:
        return np.arange(shot.start, shot.stop)
    own = timestamps[shot.start : shot.stop]
    times = own[0] + np.arange(int((own[-1] - own[0] + _TICK) * clip.fps) + 1) / clip.fps
    return shot.start + np.searchsorted(own, times + _TICK, side="right") - 1
