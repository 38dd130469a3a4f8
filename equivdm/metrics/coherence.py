"""Cross-frame PSNR: is the same material painted alike in different frames?"""

import numpy as np
from jaxtyping import Bool, Float32

from equivdm.arrays import Frames
from equivdm.config import FlowConfig
from equivdm.flow import Motion, in_frame, warp_back

CEILING = 100.0
"""PSNR in dB of pictures that are equal."""

Squares = Float32[np.ndarray, " _"]


def cross_frame_psnr(frames: Frames, motion: Motion, flow: FlowConfig) -> float:
    """PSNR in dB between each frame and the one before it, carried along the driving motion, over visible pixels.

    All frames and pixels enter one mean squared error, so that a clip is one number however its motion is spread.
    """
    del flow
    pairs = zip(frames[:-1], frames[1:], motion.backward, motion.occluded_backward, strict=True)
    return psnr([_squares(new, old, back, ~hidden & in_frame(back)) for old, new, back, hidden in pairs])


def first_frame_psnr(frames: Frames, motion: Motion, flow: FlowConfig) -> float:
    """The same between each frame and frame 0, along the composed motion, where material stayed visible throughout."""
    del flow
    home = np.zeros_like(motion.backward[0])
    seen = np.ones(home.shape[:2], bool)
    squares = []
    for new, back, hidden in zip(frames[1:], motion.backward, motion.occluded_backward, strict=True):
        # D_k(p) = b_k(p) + D_(k-1)(p + b_k(p)): from frame k back to frame 0.
        home = back + warp_back(home, back)
        seen = ~hidden & in_frame(back) & (warp_back(seen.astype(np.float32), back) > 0.999)
        squares.append(_squares(new, frames[0], home, seen))
    return psnr(squares)


def psnr(squares: list[Squares]) -> float:
    """PSNR in dB of squared differences of 8-bit values, at most CEILING. ValueError where there is none."""
    every = np.concatenate(squares)
    if not every.size:
        raise ValueError("driving motion: got no pixel that is visible in two frames, wanted some: leave the clip out")
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
