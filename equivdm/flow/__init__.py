"""Optical flow: estimating it, checking it, warping along it, painting it."""

from equivdm.flow.colour import flow_to_rgb
from equivdm.flow.estimators import Estimator, build_estimator, flow_identity
from equivdm.flow.motion import Motion, estimate_motion, occlusion_of
from equivdm.flow.warp import in_frame, occlusion, warp_back

__all__ = [
    "Estimator",
    "Motion",
    "build_estimator",
    "estimate_motion",
    "flow_identity",
    "flow_to_rgb",
    "in_frame",
    "occlusion",
    "occlusion_of",
    "warp_back",
]
