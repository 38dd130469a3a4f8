"""Motion of a clip: flow both ways, and what each frame hides from its neighbour."""

from dataclasses import dataclass

import numpy as np

from equivdm.arrays import Flow, Frames, Mask
from equivdm.config import FlowConfig, OcclusionConfig
from equivdm.flow.estimators import Estimator, build_estimator
from equivdm.flow.warp import in_frame, occlusion


@dataclass(frozen=True)
class Motion:
    """Motion between neighbouring frames; every field has one step less than the clip has frames.

    `forward[k]` and `occluded_forward[k]` lie on the pixels of frame k (where they go, and whether frame k + 1 hides
    them); `backward[k]` and `occluded_backward[k]` lie on those of frame k + 1 (where they came from, and whether
    frame k hides them).
    """

    forward: Flow
    backward: Flow
    occluded_forward: Mask
    occluded_backward: Mask


def estimate_motion(frames: Frames, config: FlowConfig) -> Motion:
    """Estimate flow both ways between neighbouring frames, and occlusion from their agreement.

    Where there are many clips, call `build_estimator` once and then `motion_by` for each.

    Args:
        frames: at least two RGB frames of at least 16x16.
        config: the estimator and the slack of the forward-backward check.

    Raises:
        ValueError: for fewer or smaller frames.
        UsageError: for an estimator that cannot be built.
    """
    return motion_by(build_estimator(config), frames, config.occlusion)


def motion_by(estimator: Estimator, frames: Frames, config: OcclusionConfig) -> Motion:
    """Return what `estimate_motion` does, of an estimator that is built. Raises ValueError as it does."""
    forward, backward = estimator(frames)
    occluded_forward, occluded_backward = occlusion_of(forward, backward, config)
    assert occluded_backward is not None
    return Motion(forward, backward, occluded_forward, occluded_backward)


def occlusion_of(forward: Flow, backward: Flow | None, config: OcclusionConfig) -> tuple[Mask, Mask | None]:
    """Say which pixels of each frame the next one hides, and which of the next one that frame hides.

    Without backward flow the first are those that leave the frame or have no known motion, and the second are not
    known: None. Noise is planned better without that first mask then: the planner has a test of its own for it.

    Raises:
        ValueError: where the two flows differ in shape.
    """
    if backward is None:
        return np.stack([~in_frame(flow) for flow in forward]), None
    slack = (config.absolute, config.relative)
    return occlusion(forward, backward, *slack), occlusion(backward, forward, *slack)
