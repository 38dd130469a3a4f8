"""Motion-locked noise: labels ride on the flow as particles, and the noise is drawn for the labels afterwards."""

from equivdm.noise.batch import MotionPlans
from equivdm.noise.mix import mix
from equivdm.noise.motion import plan_motion, plan_motions, warped_noise, warped_noises
from equivdm.noise.normals import independent_noise
from equivdm.noise.plan import MotionPlan
from equivdm.noise.planner import MotionPlanner

__all__ = [
    "MotionPlan",
    "MotionPlanner",
    "MotionPlans",
    "independent_noise",
    "mix",
    "plan_motion",
    "plan_motions",
    "warped_noise",
    "warped_noises",
]
