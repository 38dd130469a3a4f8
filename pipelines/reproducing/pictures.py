"""Sample videos of experiments for their page: a strip of frames, and a film of them side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from equivdm.arrays import Frames, Picture
from equivdm.video.write import write_video

FRAMES = 6
"""Columns of a strip."""

GAP = 2
"""Pixels between pictures."""

LARGER, TIMES, FPS = 2, 2, 8.0
"""Of a film: how often larger than the frames, how often it goes forth and back, and its rate."""

CRF = 30
"""Quality of the codec, 0 to 51: enlarged pixels stand much."""

MOST = 160
"""Pixels of a frame's longer side in a film's panel."""


def strip(videos: Mapping[str, Sequence[Frames]], path: Path) -> None:
    """Write a PNG with a row of frames for the first clip of each variant, in their order."""
    from PIL import Image

    rows = [_spread(clips[0]) for clips in videos.values()]
    height, width = rows[0][0].shape[:2]
    sheet = np.full((len(rows) * (height + GAP) - GAP, len(rows[0]) * (width + GAP) - GAP, 3), 128, np.uint8)
    for down, row in enumerate(rows):
        for right, picture in enumerate(row):
            top, left = down * (height + GAP), right * (width + GAP)
            sheet[top : top + height, left : left + width] = picture
    # 256 colours of its own: a third of the bytes, and the eye sees no difference at this size.
    Image.fromarray(sheet).quantize(256).save(path, optimize=True)


def film(videos: Mapping[str, Sequence[Frames]], path: Path) -> None:
    """Write an MP4 with the variants side by side in their order, a line for each clip, forth and back."""
    clips = min(len(each) for each in videos.values())
    lines = [np.concatenate([_enlarged(each[clip]) for each in videos.values()], axis=2) for clip in range(clips)]
    frames = np.concatenate(lines, axis=1)
    once = np.concatenate([frames, frames[-2:0:-1]])
    write_video(str(path), np.concatenate([once] * TIMES), FPS, crf=CRF)


def _spread(frames: Frames) -> list[Picture]:
    numbers = np.linspace(0, len(frames) - 1, min(FRAMES, len(frames))).round().astype(int)
    return [frames[number] for number in numbers]


def _enlarged(frames: Frames) -> Frames:
    factor = max(1, min(LARGER, MOST // max(frames.shape[1:3])))
    size = (frames.shape[2] * factor, frames.shape[1] * factor)
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_NEAREST) for frame in frames])
