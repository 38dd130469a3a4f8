"""Optical flow: estimating it, checking it, warping along it, painting it."""

from equivdm.flow.colour import flow_to_rgb
from equivdm.flow.motion import Motion, estimate_motion
from equivdm.flow.warp import in_frame, occlusion, warp_back

__all__ = ["Motion", "estimate_motion", "flow_to_rgb", "in_frame", "occlusion", "warp_back"]
