"""Temporal and spatial statistics: a blurred or frozen video can be coherent, and these show it."""

import numpy as np
from jaxtyping import Float32

from equivdm.arrays import Frames
from equivdm.metrics.case import Case

Luma = Float32[np.ndarray, "time height width"]


def flicker(case: Case) -> float:
    """Mean |f(k-1) - 2 f(k) + f(k+1)| of the luma at a place, in 8-bit levels. Two frames have none: 0.

    Steady motion of smooth material changes a place at a steady rate; independent noise does not.
    """
    grey = luma(case.frames)
    return float(np.abs(grey[:-2] - 2 * grey[1:-1] + grey[2:]).mean()) if len(grey) > 2 else 0.0


def sharpness(case: Case) -> float:
    """Mean length of the luma's gradient (central differences), in 8-bit levels a pixel."""
    down, across = np.gradient(luma(case.frames), axis=(1, 2))
    return float(np.hypot(across, down).mean())


def contrast(case: Case) -> float:
    """Standard deviation of the luma over a frame, mean over frames, in 8-bit levels."""
    return float(luma(case.frames).std(axis=(1, 2)).mean())


def luma(frames: Frames) -> Luma:
    """Luma of Rec. 601, 0 to 255."""
    return frames.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
