"""Optical flow: estimating or reading it, checking it, warping along it, storing and painting it."""

from equivdm.flow.colour import flow_to_rgb
from equivdm.flow.confidence import FlowStatistics, flow_statistics
from equivdm.flow.estimators import Estimator, build_estimator, flow_identity
from equivdm.flow.motion import Motion, estimate_motion, motion_by, occlusion_of
from equivdm.flow.reduced import enlarge_flow, shrink_flow
from equivdm.flow.warp import in_frame, occlusion, warp_back

__all__ = [
    "Estimator",
    "FlowStatistics",
    "Motion",
    "build_estimator",
    "enlarge_flow",
    "estimate_motion",
    "flow_identity",
    "flow_statistics",
    "flow_to_rgb",
    "in_frame",
    "motion_by",
    "occlusion",
    "occlusion_of",
    "shrink_flow",
    "warp_back",
]
