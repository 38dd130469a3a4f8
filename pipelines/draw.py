"""One draw of noise for a clip: what training, distillation and rendering share."""

import numpy as np
from einops import rearrange

from equivdm.config import NoiseConfig
from equivdm.noise import MotionPlan, independent_noise


def draw_noise(plan: bytes, shape: tuple[int, ...], config: NoiseConfig, seed: int) -> np.ndarray:
    """Return float32 noise of a latent's shape [channels, time, h, w]; a pure function of its arguments.

    Warped noise follows the clip's motion plan; independent noise is fresh in every cell and frame.
    Raises ValueError where the plan is damaged, or of another shape.
    """
    channels, time, height, width = shape
    if config.kind == "independent":
        noise = independent_noise((time, channels, height, width), seed)
    else:
        noise = MotionPlan.from_bytes(plan).noise(seed, channels, beta=config.beta)
    if noise.shape != (time, channels, height, width):
        raise ValueError(f"motion plan: got noise {noise.shape}, wanted {(time, channels, height, width)}")
    return np.ascontiguousarray(rearrange(noise, "t c h w -> c t h w"))
