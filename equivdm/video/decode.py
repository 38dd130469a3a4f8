"""Frames by number, upright and at the size that is wanted.

decord decodes where it gives PyAV's bytes exactly, PyAV does the rest, so that a machine without decord (there is no
build for ARM) makes the same clips. Compared frame by frame over the test collection, decord 0.6 against FFmpeg 8.1:

- equal: H.264, HEVC, VP8, MPEG-4, FFV1 and MJPEG in 8 bits, full range, 4:4:4, variable rate, fragmented, several
  streams, B-frames behind a single key frame, turns by 90 and 180 degrees;
- open groups of pictures (HEVC): after a jump decord counts one frame too far;
- mirrored display matrix: decord turns by 180 degrees instead;
- 10 bits and interlaced: chroma is interpolated differently (0.6 to 3.6 levels on average);
- AV1, animated GIF, widths below 32 pixels: decord raises.
"""

import importlib
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from itertools import islice

import cv2
import numpy as np
from jaxtyping import UInt8

from equivdm.arrays import Frames, Picture
from equivdm.errors import DamagedVideo
from equivdm.video.container import Layout, numbered, read_layout
from equivdm.video.crop import centred_crop

Cut = UInt8[np.ndarray, "rows columns 3"]
"""A picture of another size than the one it was made of."""

_AT_ONCE = 8
"""Frames held at full size before they are cut to size."""


def decode(path: str, indices: Sequence[int], size: tuple[int, int] | None) -> Frames:
    """Decode the frames of the given numbers, in the given order; a number may come twice.

    Args:
        path: a local file.
        indices: frame numbers in order of presentation, as `windows` gives them.
        size: (height, width) to fill: the largest centred part of the upright picture with this shape is scaled to it,
            by area averages where it shrinks. Stored pixels that are not square are taken into account. None leaves
            the upright picture as it is.

    Raises:
        ValueError: for no index, one that the video has not, or a size without pixels.
        OSError: where the file cannot be read.
        NotAVideo: for an empty or foreign file, or one without a video stream.
        DamagedVideo: where one of the frames cannot be decoded.
    """
    layout = read_layout(path)
    wanted, place = np.unique(np.asarray(indices, np.int64), return_inverse=True)
    if not len(wanted) or wanted[0] < 0 or wanted[-1] >= len(layout.ticks):
        raise ValueError(f"got frames {list(indices)[:8]} of a video of {len(layout.ticks)}: at least one, from 0 up")
    if size is not None and min(size) < 1:
        raise ValueError(f"got the size {size}: at least (1, 1), or None")
    numbers = [int(index) for index in wanted]
    pictures = _by_decord(path, layout, numbers, size) if layout.plain else None
    if pictures is None:
        pictures = _by_pyav(path, layout, numbers, size)
    return np.stack([pictures[number] for number in numbers])[place]


def warm_up() -> None:
    """Import what `decode` imports on first use: a process that limits its memory does so after its imports."""
    with suppress(ImportError):
        importlib.import_module("decord")


def _by_decord(
    path: str, layout: Layout, numbers: list[int], size: tuple[int, int] | None
) -> dict[int, Picture] | None:
    """Pictures by number, or None where decord is absent, raises, or counts other frames than the container has."""
    try:
        from decord import DECORDError, VideoReader
    except ImportError:
        return None
    try:
        reader = VideoReader(path, num_threads=1)
        if len(reader) != len(layout.ticks):
            return None
        pictures: dict[int, Picture] = {}
        for part in _parts(numbers):
            batch = reader.get_batch(part).asnumpy()
            pictures.update({number: _fit(full, layout, size) for number, full in zip(part, batch, strict=True)})
    except (DECORDError, RuntimeError):
        return None
    return pictures


def _parts(numbers: list[int]) -> Iterator[list[int]]:
    rest = iter(numbers)
    while part := list(islice(rest, _AT_ONCE)):
        yield part


def _by_pyav(path: str, layout: Layout, numbers: list[int], size: tuple[int, int] | None) -> dict[int, Picture]:
    """Pictures by number. Where jumping to a key frame misses any, all is decoded from the start."""
    start = _key_before(layout, numbers[0])
    pictures = _collect(path, layout, numbers, size, start)
    if len(pictures) < len(numbers) and start is not None:
        pictures = _collect(path, layout, numbers, size, None)
    if len(pictures) < len(numbers):
        missing = next(number for number in numbers if number not in pictures)
        raise DamagedVideo(
            f"{len(pictures)} of {len(numbers)} frames could be decoded, of a video of {len(layout.ticks)}; "
            f"the first one missing is frame {missing}"
        )
    return pictures


def _key_before(layout: Layout, number: int) -> int | None:
    """Decoding stamp of the last key frame that is shown no later than a frame."""
    before = [dts for pts, dts in layout.keys if pts <= layout.ticks[number]]
    return before[-1] if before and layout.stamped else None


def _collect(
    path: str, layout: Layout, numbers: list[int], size: tuple[int, int] | None, start: int | None
) -> dict[int, Picture]:
    wanted = set(numbers)
    pictures: dict[int, Picture] = {}
    with closing(numbered(path, layout, start)) as frames:
        for number, frame in frames:
            if number in wanted:
                pictures[number] = _fit(_upright(frame.to_ndarray(format="rgb24"), layout), layout, size)
            if len(pictures) == len(numbers):
                break
    return pictures


def _upright(picture: Picture, layout: Layout) -> Cut:
    return np.rot90(picture[:, ::-1] if layout.mirrored else picture, -layout.turns)


def _fit(picture: Picture, layout: Layout, size: tuple[int, int] | None) -> Cut:
    """Cut the largest centred part with the wanted shape, then scale it."""
    if size is None:
        return np.ascontiguousarray(picture)
    crop = centred_crop(picture.shape[0], picture.shape[1], layout.upright_aspect, size)
    part = np.ascontiguousarray(picture[crop.part])
    return cv2.resize(part, size[::-1], interpolation=cv2.INTER_AREA if crop.shrinks_to(size) else cv2.INTER_CUBIC)
