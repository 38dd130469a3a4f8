"""Frames by number, upright and at the size that is wanted.

PyAV decodes, and every frame that it gives is one that FFmpeg found nothing wrong with (soundness.py). decord is not
used: its older FFmpeg gave wrong frames without a word for damaged files and for whole ones (open groups of pictures,
mirrored pictures, 10 bits, interlaced), raised on AV1 and GIF, and was slower as well (docs/log.md).
"""

from collections.abc import Iterator, Sequence
from contextlib import closing

import cv2
import numpy as np
from av import VideoFrame
from jaxtyping import UInt8

from equivdm.arrays import Frames, Picture
from equivdm.errors import DamagedVideo, UnsupportedVideo
from equivdm.video.colour import rgb
from equivdm.video.container import Layout, numbered, read_layout
from equivdm.video.crop import centred_crop
from equivdm.video.frame import Fit, Shape
from equivdm.video.soundness import Message

Cut = UInt8[np.ndarray, "rows columns 3"]
"""A picture of another size than the one it was made of."""


def decode(path: str, indices: Sequence[int], size: Shape) -> Frames:
    """Decode the frames of the given numbers, in the given order; a number may come twice.

    Args:
        path: a local file.
        indices: frame numbers in order of presentation, as `windows` gives them.
        size: (height, width) to fill: the largest centred part of the upright picture with this shape is scaled to it,
            by area averages where it shrinks. Stored pixels that are not square are taken into account. None leaves
            the upright picture as it is. A `Fit` says how it becomes a model's frame.

    Raises:
        ValueError: for no index, one that the video has not, or a size without pixels.
        OSError: where the file cannot be read.
        NotAVideo: for an empty or foreign file, or one without a video stream.
        UnsupportedVideo: for an unknown codec, or frames whose size changes.
        DamagedVideo: where one of the frames cannot be decoded, or not be trusted.
    """
    layout = read_layout(path)
    wanted, place = np.unique(np.asarray(indices, np.int64), return_inverse=True)
    if not len(wanted) or wanted[0] < 0 or wanted[-1] >= len(layout.ticks):
        raise ValueError(f"got frames {list(indices)[:8]} of a video of {len(layout.ticks)}: at least one, from 0 up")
    _check(size)
    numbers = [int(index) for index in wanted]
    pictures = _pictures(path, layout, numbers, size)
    return np.stack([pictures[number] for number in numbers])[place]


def decode_chunks(path: str, start: int, stop: int, size: Shape, chunk: int) -> Iterator[Frames]:
    """Decode the frames from `start` up to `stop` in one pass, and yield them in order, `chunk` at a time.

    The last part may be shorter. No more than a part is held at a time.

    Args:
        path: a local file.
        start: number of the first frame, in order of presentation.
        stop: one past the last.
        size: as `decode` takes it.
        chunk: frames of a part.

    Raises:
        As `decode`; parts before a damaged frame have been given by then.
    """
    layout = read_layout(path)
    if not 0 <= start < stop <= len(layout.ticks) or chunk < 1:
        got = f"frames {start} to {stop} of a video of {len(layout.ticks)}, {chunk} at a time"
        raise ValueError(f"got {got}: at least one, from 0 up")
    _check(size)
    held: list[Picture] = []
    for picture in _run(path, layout, range(start, stop), size):
        held.append(picture)
        if len(held) == chunk:
            yield np.stack(held)
            held = []
    if held:
        yield np.stack(held)


def _check(size: Shape) -> None:
    if isinstance(size, tuple) and min(size) < 1:
        raise ValueError(f"got the size {size}: at least (1, 1), or None")


def _run(path: str, layout: Layout, numbers: range, size: Shape) -> Iterator[Picture]:
    """Pictures of consecutive frames. Where jumping to a key frame misses one, all is decoded from the start."""
    done, errors = 0, list[Message]()
    jump = _key_before(layout, numbers[0])
    for start in [None] if jump is None else [jump, None]:
        errors.clear()
        with closing(numbered(path, layout, start, errors)) as frames:
            for number, frame in frames:
                if number > numbers[done]:
                    break
                if number == numbers[done]:
                    yield _fit(_picture(frame, layout), layout, size)
                    done += 1
                if done == len(numbers):
                    return
    raise _missing(layout, numbers, done, numbers[done], _first(errors))


def _pictures(path: str, layout: Layout, numbers: list[int], size: Shape) -> dict[int, Picture]:
    """Pictures by number. Where jumping to a key frame misses any, all is decoded from the start."""
    start = _key_before(layout, numbers[0])
    pictures, reason = _collect(path, layout, numbers, size, start)
    if len(pictures) < len(numbers) and start is not None:
        pictures, reason = _collect(path, layout, numbers, size, None)
    if len(pictures) < len(numbers):
        missing = next(number for number in numbers if number not in pictures)
        raise _missing(layout, numbers, len(pictures), missing, reason)
    return pictures


def _missing(layout: Layout, numbers: Sequence[int], found: int, first: int, reason: str) -> DamagedVideo:
    return DamagedVideo(
        f"{found} of {len(numbers)} frames could be decoded, of a video of {len(layout.ticks)}; "
        f"the first one missing is frame {first} ({reason or 'its data is damaged'})"
    )


def _first(errors: Sequence[Message]) -> str:
    return next((f"{source}: {text.strip()}" for _, source, text in errors), "")


def _key_before(layout: Layout, number: int) -> int | None:
    """Decoding stamp of the last key frame that is shown no later than a frame."""
    before = [dts for pts, dts in layout.keys if pts <= layout.ticks[number]]
    return before[-1] if before and layout.stamped else None


def _collect(
    path: str, layout: Layout, numbers: list[int], size: Shape, start: int | None
) -> tuple[dict[int, Picture], str]:
    """Pictures by number, and the first error that FFmpeg logged."""
    wanted = set(numbers)
    pictures: dict[int, Picture] = {}
    errors: list[Message] = []
    with closing(numbered(path, layout, start, errors)) as frames:
        for number, frame in frames:
            if number in wanted:
                pictures[number] = _fit(_picture(frame, layout), layout, size)
            if len(pictures) == len(numbers):
                break
    return pictures, _first(errors)


def _picture(frame: VideoFrame, layout: Layout) -> Cut:
    """The upright picture of a frame."""
    if (frame.height, frame.width) != (layout.height, layout.width):
        raise UnsupportedVideo(
            f"a frame of {frame.width}x{frame.height} pixels in a video of {layout.width}x{layout.height}: "
            "cut the video where its size changes"
        )
    return _upright(rgb(frame), layout)


def _upright(picture: Picture, layout: Layout) -> Cut:
    return np.rot90(picture[:, ::-1] if layout.mirrored else picture, -layout.turns)


def _fit(picture: Picture, layout: Layout, size: Shape) -> Cut:
    """Cut the largest centred part with the wanted shape, then scale it."""
    if size is None:
        return np.ascontiguousarray(picture)
    if isinstance(size, Fit):
        return size.apply(picture)
    crop = centred_crop(picture.shape[0], picture.shape[1], layout.upright_aspect, size)
    part = np.ascontiguousarray(picture[crop.part])
    return cv2.resize(part, size[::-1], interpolation=cv2.INTER_AREA if crop.shrinks_to(size) else cv2.INTER_CUBIC)
