"""A chart of known colours, written with any matrix, range and format, without a conversion of FFmpeg's."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RGB = np.array(
    [
        [0, 0, 0],
        [255, 255, 255],
        [128, 128, 128],
        [255, 0, 0],
        [0, 255, 0],
        [0, 0, 255],
        [255, 255, 0],
        [200, 100, 50],
        [30, 60, 200],
        [16, 235, 120],
    ]
)
"""Colours of the patches, from left to right."""

PATCH = 16
"""Columns of a patch, and rows of the chart where no other number is given."""

_LUMA = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
"""Kr and Kb of BT.709, BT.601 (625 and 525 lines), BT.2020, by their number in H.273."""


def components(matrix: int, *, full: bool, bits: int) -> np.ndarray:
    """Y, Cb, Cr of the patches (H.273, 8.3): integers [patches, 3]."""
    kr, kb = _LUMA[matrix]
    red, green, blue = RGB.T / 255
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    parts = np.stack([luma, (blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))], axis=1)
    top, half = 2**bits - 1, 2 ** (bits - 1)
    scaled = parts * top + [0, half, half] if full else (parts * [219, 224, 224] + [16, 128, 128]) * 2 ** (bits - 8)
    return np.clip(np.round(scaled), 0, top).astype(np.uint8 if bits == 8 else np.uint16)


def write_chart(path: Path, matrix: int, *, full: bool, form: str, rows: int = PATCH, tagged: bool = True) -> None:
    """Write a video of one frame, without loss."""
    bits = 10 if form.endswith("10le") else 8
    width = PATCH * len(RGB)
    frame = av.VideoFrame(width, rows, form)
    for plane, values in zip(frame.planes, components(matrix, full=full, bits=bits).T, strict=True):
        line = np.zeros(plane.line_size // values.itemsize, values.dtype)
        line[: plane.width] = np.repeat(values, plane.width // len(RGB))
        plane.update(np.tile(line, plane.height).tobytes())
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "0"})
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = rows, width, form
        if tagged:
            stream.codec_context.colorspace = matrix
            stream.codec_context.color_range = 2 if full else 1
            frame.colorspace, frame.color_range = matrix, 2 if full else 1
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def patches(picture: np.ndarray) -> np.ndarray:
    """The colours in the middle of each patch: integers [patches, 3]."""
    height, width = picture.shape[:2]
    step = width // len(RGB)
    return picture[height // 2, step // 2 :: step].astype(int)
