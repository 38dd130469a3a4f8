"""Motion alignment: does the generated video move as the driving one does?"""

import numpy as np

from equivdm.arrays import Frames
from equivdm.config import FlowConfig
from equivdm.flow import Motion, estimate_motion


def endpoint_error(frames: Frames, motion: Motion, flow: FlowConfig) -> float:
    """Mean distance in pixels between the generated video's flow and the driving one's, where the latter is visible."""
    visible = ~motion.occluded_forward
    if not visible.any():
        raise ValueError("driving motion: got no pixel that is visible in two frames, wanted some: leave the clip out")
    generated = estimate_motion(frames, flow).forward
    return float(np.linalg.norm(generated - motion.forward, axis=-1)[visible].mean())
