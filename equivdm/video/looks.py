"""What can be told of a clip at a glance: brightness, contrast, black, motion or none, bars."""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from equivdm.arrays import Frames

_BLACK = 24
"""Highest luma that counts as black: the default limit of FFmpeg's cropdetect."""

_BLACK_FRAME = 0.98
"""A frame is black where this share of its pixels is: the default of FFmpeg's blackdetect."""

_CELLS = (8, 8)
"""Parts of a picture that are looked at alone, so that something small that moves counts as motion."""

_FROZEN = 0.5
"""Levels by which a cell of a still picture may change on average: what a codec does to a repeated frame."""


@dataclass(frozen=True)
class Looks:
    """Statistics of a clip's luma (ITU-R BT.601, 0 to 255)."""

    brightness: float
    """Mean, 0 to 255."""
    contrast: float
    """Standard deviation within a frame, averaged over the frames: 0 to 127.5."""
    black: float
    """Share of pixels that are black."""
    black_frames: float
    """Share of frames that are black."""
    change: float
    """Mean absolute difference between a pixel and the same one in the next frame, 0 to 255; 0 for a single frame."""
    frozen: float
    """Share of the steps from a frame to the next in which nothing moves, as in a still picture or a repeated frame."""
    bar_rows: float
    """Share of rows that are black in every frame, counted from the upper and the lower edge (letterbox)."""
    bar_columns: float
    """Share of columns that are, counted from the left and the right edge (pillarbox)."""


def measure_looks(frames: Frames) -> Looks:
    """Measure a clip.

    Raises:
        ValueError: for a clip without frames or pixels.
    """
    if frames.size == 0:
        raise ValueError(f"got frames of the shape {frames.shape}: at least one frame with pixels")
    lumas = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    black = np.array([np.mean(luma <= _BLACK) for luma in lumas])
    steps = np.array([_change(before, after) for before, after in pairwise(lumas)]).reshape(-1, 2)
    lit = np.any([luma > _BLACK for luma in lumas], axis=0)
    return Looks(
        brightness=float(np.mean([luma.mean() for luma in lumas])),
        contrast=float(np.mean([luma.std() for luma in lumas])),
        black=float(black.mean()),
        black_frames=float(np.mean(black >= _BLACK_FRAME)),
        change=float(steps[:, 0].mean()) if len(steps) else 0.0,
        frozen=float(np.mean(steps[:, 1] <= _FROZEN)) if len(steps) else 0.0,
        bar_rows=_dark_edges(lit.any(axis=1)),
        bar_columns=_dark_edges(lit.any(axis=0)),
    )


def _change(before: UInt8[np.ndarray, "height width"], after: UInt8[np.ndarray, "height width"]) -> tuple[float, float]:
    """Mean absolute difference of two lumas, and that of the cell that changes most."""
    difference = cv2.absdiff(before, after).astype(np.float32)
    return float(difference.mean()), float(cv2.resize(difference, _CELLS, interpolation=cv2.INTER_AREA).max())


def _dark_edges(lit: Bool[np.ndarray, " lines"]) -> float:
    """Share of the lines before the first lit one and after the last; 1 where none is."""
    bright = np.flatnonzero(lit)
    return 1.0 - float(bright[-1] - bright[0] + 1) / len(lit) if len(bright) else 1.0
