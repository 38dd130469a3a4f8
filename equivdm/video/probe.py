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
    fps: float
    """Average frames a second."""
    timestamps: Float64[np.ndarray, " frames"]
    """Seconds, in order of presentation; variable rates show here, and the first need not be 0."""
    rotation: int
    """Degrees clockwise by which stored pictures are turned for display: 0, 90, 180 or 270. Decoding applies it."""


def probe(path: str) -> VideoInfo:
    """Read a local video's size and time stamps. All packets are read, one frame is decoded.

    Raises:
        OSError: where the file cannot be read.
        NotAVideo, UnsupportedVideo, DamagedVideo: as `read_layout` says.
    """
    layout = read_layout(path)
    upright = (layout.height, layout.width) if layout.turns % 2 == 0 else (layout.width, layout.height)
    return VideoInfo(
        height=upright[0],
        width=upright[1],
        fps=layout.fps,
        timestamps=layout.ticks * float(layout.time_base),
        rotation=90 * layout.turns,
    )
