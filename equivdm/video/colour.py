"""RGB of decoded frames, by the matrix and the range that the video is tagged with."""

from av import VideoFrame
from av.video.reformatter import Colorspace, Interpolation

from equivdm.arrays import Picture

_UNTAGGED = 2
"""H.273 (ITU-T): matrix coefficients that are not specified."""

_HD_ROWS = 720
"""Untagged videos of so many stored rows are BT.709 to players, smaller ones BT.601; to FFmpeg all are BT.601."""

_EXACT = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
"""Without, 10 bits come out up to 3 levels off."""


def rgb(frame: VideoFrame) -> Picture:
    """Return a frame as RGB bytes, 0 to 255.

    FFmpeg goes by the tags (BT.601, BT.709, BT.2020; limited, full); an untagged range is limited, but for JPEG's
    formats. Transfer and primaries stay the video's own: nothing is mapped from HDR.
    """
    untagged = not frame.format.is_rgb and frame.colorspace == _UNTAGGED
    matrix = Colorspace.ITU709 if untagged and frame.height >= _HD_ROWS else None
    deep = max(component.bits for component in frame.format.components) > 8
    scaled = frame.reformat(format="rgb24", src_colorspace=matrix, interpolation=_EXACT if deep else None)
    return scaled.to_ndarray()
