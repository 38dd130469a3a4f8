"""What a video is, before anything of it is decoded."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from equivdm.video.container import read_layout


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
    aspect: float = 1.0
    """Width of a pixel of the upright picture over its height."""


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
    )
