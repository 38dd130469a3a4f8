"""What a video is, before anything of it is decoded."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Float64

from equivdm.video.container import Layout, read_layout
from equivdm.video.timing import Timing


@dataclass(frozen=True)
class VideoInfo:
    """Size and time of a file's default video stream."""

    width: int
    """Columns of the upright picture, in stored pixels."""
    height: int
    """Rows of the upright picture."""
    display_width: int
    """Columns on a display with square pixels: stored pixels that are not square are widened or narrowed."""
    display_height: int
    """Rows on a display with square pixels: not `height` where pixels are not square and the picture is turned."""
    fps: float
    """Average frames a second."""
    timestamps: Float64[np.ndarray, " frames"]
    """Seconds, in order of presentation; variable rates show here, and the first need not be 0."""
    rotation: int
    """Degrees clockwise by which stored pictures are turned for display: 0, 90, 180 or 270. Decoding applies it."""
    aspect: float
    """Width of a pixel of the upright picture over its height."""
    timing: Timing
    """The time stamps without rounding, how long the last frame is shown, and how the sound lies to them."""
    sound: bool
    """Whether the file has sound."""


def probe(path: str) -> VideoInfo:
    """Read a local video's size and time stamps. All packets are read, one frame is decoded.

    Raises:
        OSError: where the file cannot be read.
        NotAVideo, UnsupportedVideo, DamagedVideo: as `read_layout` says.
    """
    layout = read_layout(path)
    stored, shown = (layout.height, layout.width), (layout.height, max(1, round(layout.width * layout.aspect)))
    turn = -1 if layout.turns % 2 else 1
    (height, width), (display_height, display_width) = stored[::turn], shown[::turn]
    return VideoInfo(
        height=height,
        width=width,
        display_height=display_height,
        display_width=display_width,
        fps=layout.fps,
        timestamps=layout.ticks * float(layout.time_base),
        rotation=90 * layout.turns,
        aspect=layout.upright_aspect,
        timing=_timing(layout),
        sound=layout.sound,
    )


def _timing(layout: Layout) -> Timing:
    rate = Fraction(layout.fps).limit_denominator(1001)
    # A file's times begin with its own clock's start; frames before it move it.
    start = round(layout.origin / layout.time_base)
    first = min(start, int(layout.ticks[0]))
    if (np.diff(layout.ticks) <= 0).any():
        # Without stamps of their own, frames go by their count.
        return Timing(rate, 1 / rate, origin=int(layout.ticks[0]) * layout.time_base)
    return Timing(rate, layout.time_base, layout.ticks - first, layout.last, first * layout.time_base)
