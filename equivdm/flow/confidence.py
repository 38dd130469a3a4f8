"""What filters ask of a clip's flow: how fast it is, and how far it can be trusted."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32

from equivdm.arrays import Flow, Frames, Mask
from equivdm.flow.warp import in_frame, warp_back


@dataclass(frozen=True)
class FlowStatistics:
    """Statistics of the forward flow of a clip, over all steps and pixels. Shares are from 0 to 1."""

    mean_speed: float
    """Pixels a frame, over the pixels whose motion is known; 0 where none is."""
    fast_speed: float
    """95th percentile of the same."""
    mean_speed_share: float
    """Mean speed in heights of the frame: comparable between sizes."""
    fast_speed_share: float
    """95th percentile, likewise."""
    leaving: float
    """Share of pixels that leave the frame."""
    unknown: float
    """Share of pixels without a known vector; an estimator gives one to each."""
    disagreement: float | None
    """Share of the pixels that stay in the frame where forward and backward flow disagree: real occlusion, and
    low confidence. None without backward flow."""
    residual: float | None
    """Mean absolute difference of luma (Rec. 601, 0 to 255) between a pixel and where the flow leads it, over the
    pixels that stay and, with backward flow, agree. None without frames, or without such a pixel."""


def flow_statistics(forward: Flow, occluded: Mask | None = None, frames: Frames | None = None) -> FlowStatistics:
    """Summarise the flow of a clip.

    Args:
        forward: displacements in pixels, from each frame to the next.
        occluded: what the forward-backward check says of the same pixels (`occlusion_of`); None without backward flow.
        frames: the clip, one frame more than there are steps, for the residual.

    Raises:
        ValueError: where mask or frames do not belong to the flow.
    """
    steps, height, width = forward.shape[:3]
    if occluded is not None and occluded.shape != (steps, height, width):
        raise ValueError(f"occluded: got shape {occluded.shape}, wanted {(steps, height, width)}")
    if frames is not None and frames.shape[:3] != (steps + 1, height, width):
        raise ValueError(f"frames: got shape {frames.shape}, wanted {(steps + 1, height, width, 3)}")
    speeds = np.sqrt(np.square(forward[..., 0]) + np.square(forward[..., 1]))
    known = np.isfinite(speeds)
    stays = np.stack([in_frame(step) for step in forward])
    speed = speeds[known] if known.any() else np.zeros(1, np.float32)
    mean, fast = float(speed.mean(dtype=np.float64)), float(np.percentile(speed, 95))
    trusted = stays if occluded is None else stays & ~occluded
    return FlowStatistics(
        mean_speed=mean,
        fast_speed=fast,
        mean_speed_share=mean / height,
        fast_speed_share=fast / height,
        leaving=float((known & ~stays).mean()),
        unknown=float((~known).mean()),
        disagreement=None if occluded is None else _share(occluded, stays),
        residual=None if frames is None else _residual(frames, forward, trusted),
    )


def _share(mask: Mask, of: Mask) -> float:
    return float(mask[of].mean()) if of.any() else 0.0


def _residual(frames: Frames, forward: Flow, trusted: Mask) -> float | None:
    luma = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    gaps = [_gaps(*each) for each in zip(luma[:-1], luma[1:], forward, trusted, strict=True)]
    every = np.concatenate(gaps)
    return float(every.mean(dtype=np.float64)) if every.size else None


def _gaps(
    old: np.ndarray,
    new: np.ndarray,
    flow: Float32[np.ndarray, "height width 2"],
    trusted: Bool[np.ndarray, "height width"],
) -> Float32[np.ndarray, " _"]:
    led = warp_back(new, np.where(trusted[..., None], flow, np.float32(0)))
    return np.abs(old.astype(np.float32) - led)[trusted]
