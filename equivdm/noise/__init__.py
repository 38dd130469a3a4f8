"""Motion-locked noise: labels ride on the flow as particles, and the noise is drawn for the labels afterwards."""

from equivdm.noise.mix import mix
from equivdm.noise.motion import plan_motion, warped_noise
from equivdm.noise.normals import independent_noise
from equivdm.noise.plan import MotionPlan
from equivdm.noise.planner import MotionPlanner

__all__ = ["MotionPlan", "MotionPlanner", "independent_noise", "mix", "plan_motion", "warped_noise"]
