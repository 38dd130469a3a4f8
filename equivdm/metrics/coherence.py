"""Coherence: is the same material painted alike in different frames?"""

from math import isfinite
from statistics import fmean

import numpy as np
from jaxtyping import Bool, Float32

from equivdm.flow import in_frame, warp_back
from equivdm.metrics.case import Case
from equivdm.metrics.seams import temporal_errors

CEILING = 100.0
"""PSNR in dB of pictures that are equal."""

NOTHING_VISIBLE = "driving motion: got no pixel that is visible in two frames, wanted some: leave the clip out"

Squares = Float32[np.ndarray, " _"]


def cross_frame_psnr(case: Case) -> float:
    """PSNR in dB between each frame and the one before it, carried along the driving motion, over visible pixels.

    All frames and pixels enter one mean squared error, so that a clip is one number however its motion is spread.
    """
    frames, motion = case.frames, case.driving
    pairs = zip(frames[:-1], frames[1:], motion.backward, motion.occluded_backward, strict=True)
    return decibels([_squares(new, old, back, ~hidden & in_frame(back)) for old, new, back, hidden in pairs])


def first_frame_psnr(case: Case) -> float:
    """The same between each frame and frame 0, along the composed motion, where material stayed visible throughout."""
    frames, motion = case.frames, case.driving
    home = np.zeros_like(motion.backward[0])
    seen = np.ones(home.shape[:2], bool)
    squares = []
    for new, back, hidden in zip(frames[1:], motion.backward, motion.occluded_backward, strict=True):
        # D_k(p) = b_k(p) + D_(k-1)(p + b_k(p)): from frame k back to frame 0.
        home = back + warp_back(home, back)
        seen = ~hidden & in_frame(back) & (warp_back(seen.astype(np.float32), back) > 0.999)
        squares.append(_squares(new, frames[0], home, seen))
    return decibels(squares)


def warp_error(case: Case) -> float:
    """Mean |f(k) - f(k-1) carried along the driving motion| over visible pixels, mean over steps, in 8-bit levels.

    The short-term warping error of Lai et al., "Learning Blind Video Temporal Consistency", 2018, but for the norm:
    theirs is the mean square of values in [0, 1], which is cross-frame PSNR but for the logarithm.
    """
    motion = case.driving
    steps = zip(motion.backward, motion.occluded_backward, strict=True)
    errors = [error for error in temporal_errors(case.frames, steps) if isfinite(error)]
    if not errors:
        raise ValueError(NOTHING_VISIBLE)
    return fmean(errors)


def variation_along_tracks(case: Case) -> float:
    """`track_variation` of the colours, along points of the driving motion that stay visible throughout.

    Raises ValueError where there is none.
    """
    import torch

    from equivdm.metrics.tracks import track_variation

    colours = torch.from_numpy(np.moveaxis(case.frames, -1, 1).astype(np.float32))
    return track_variation(colours, torch.from_numpy(case.tracks))


def decibels(squares: list[Squares]) -> float:
    """PSNR in dB of squared differences of 8-bit values, at most CEILING. ValueError where there is none."""
    every = np.concatenate(squares)
    if not every.size:
        raise ValueError(NOTHING_VISIBLE)
    error = float(every.mean(dtype=np.float64))
    return CEILING if error == 0 else min(CEILING, float(10 * np.log10(255**2 / error)))


def _squares(
    new: np.ndarray,
    old: np.ndarray,
    back: Float32[np.ndarray, "height width 2"],
    mask: Bool[np.ndarray, "height width"],
) -> Squares:
    difference = new.astype(np.float32) - warp_back(old, back)
    return np.square(difference[mask]).ravel()
