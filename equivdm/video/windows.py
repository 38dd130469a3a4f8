"""Which frames of a video become clips."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from equivdm.config import ClipConfig

_TICK = 1e-3
"""Time stamps may be rounded to so many seconds (webm), so a frame counts as earlier if it is later by less."""


@dataclass(frozen=True)
class Window:
    """One clip of a video."""

    index: int
    """Number among all windows of the video; leaving windows out does not renumber the others."""
    frames: tuple[int, ...]
    """Frame numbers in order of presentation; one comes twice where the clip's rate is above the video's."""
    fps: float
    """Frames a second of the clip."""


def windows(timestamps: Float64[np.ndarray, " frames"], fps: float, clip: ClipConfig) -> list[Window]:
    """Cut a video into windows.

    Without `clip.fps` the frames are consecutive, whatever their times. With it, the frame shown at each of the regular
    times t0 + k / clip.fps is taken: the nearest earlier one. Windows start every `clip.step` frames of the clip's
    rate; what is left at the end is too short and dropped. Of more than `clip.max_windows`, evenly spread ones stay.

    Args:
        timestamps: seconds, rising.
        fps: the video's average rate.
        clip: length, rate, stride and number.

    Returns:
        Windows in order; none where the video is too short.

    Raises:
        ValueError: for a rate that is not positive, or time stamps that fall.
    """
    if fps <= 0 or (np.diff(timestamps) < 0).any():
        raise ValueError(f"got fps={fps} and {len(timestamps)} time stamps: a positive rate and rising stamps")
    frames = np.arange(len(timestamps)) if clip.fps is None else _resample(timestamps, clip.fps)
    starts = range(0, len(frames) - clip.frames + 1, clip.step)
    kept = range(len(starts))
    if clip.max_windows is not None and clip.max_windows < len(starts):
        # The middles of equal parts: one window is the middle of the video, not its beginning.
        kept = [int((part + 0.5) * len(starts) / clip.max_windows) for part in range(clip.max_windows)]
    return [
        Window(index, tuple(int(k) for k in frames[starts[index] : starts[index] + clip.frames]), clip.fps or fps)
        for index in kept
    ]


def _resample(timestamps: Float64[np.ndarray, " frames"], fps: float) -> np.ndarray:
    if len(timestamps) == 0:
        return np.zeros(0, np.int64)
    length = timestamps[-1] - timestamps[0]
    times = timestamps[0] + np.arange(int((length + _TICK) * fps) + 1) / fps
    return np.searchsorted(timestamps, times + _TICK, side="right") - 1
