"""Metrics of generated video against the motion that drove it. Adding one is a function and a line in METRICS."""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from equivdm.arrays import Frames
from equivdm.config import FlowConfig
from equivdm.flow import Motion
from equivdm.metrics.alignment import endpoint_error
from equivdm.metrics.coherence import cross_frame_psnr, first_frame_psnr
from equivdm.metrics.statistics import contrast, flicker, sharpness


class Metric(NamedTuple):
    """How a metric is computed and read."""

    function: Callable[[Frames, Motion, FlowConfig], float]
    """(generated frames, driving motion, estimator that judges) -> value."""
    title: str
    unit: str
    better: Literal["higher", "lower", "neither"]
    """`neither`: it describes; compare it with the driving videos' own."""


METRICS: Mapping[str, Metric] = {
    "cf_psnr": Metric(cross_frame_psnr, "Cross-frame PSNR", "dB", "higher"),
    "cf_psnr_first": Metric(first_frame_psnr, "Cross-frame PSNR to the first frame", "dB", "higher"),
    "epe": Metric(endpoint_error, "Motion alignment (end-point error)", "px", "lower"),
    "flicker": Metric(flicker, "Flicker", "levels", "neither"),
    "sharpness": Metric(sharpness, "Sharpness", "levels/px", "neither"),
    "contrast": Metric(contrast, "Contrast", "levels", "neither"),
}
"""Every metric by its name in the `metrics` table."""


def measure(frames: Frames, motion: Motion, flow: FlowConfig) -> dict[str, float]:
    """Return every metric of one generated video.

    Args:
        frames: the generated video, of the same length and size as the driving clip.
        motion: the driving clip's.
        flow: the estimator that judges motion.

    Raises:
        ValueError: where length or size differ, or the driving motion shows no pixel twice.
    """
    steps, height, width = motion.forward.shape[:3]
    if frames.shape[:3] != (steps + 1, height, width):
        raise ValueError(
            f"frames: got {frames.shape[:3]} (frames, height, width), wanted {(steps + 1, height, width)}: "
            "measure a video against the motion of the clip that drove it"
        )
    return {name: metric.function(frames, motion, flow) for name, metric in METRICS.items()}
