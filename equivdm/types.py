"""Shapes as named types. `pytest --jaxtyping-packages=equivdm,beartype.beartype` checks them; at run time they are free.

Videos on the host are numpy, time first and channels last, as codecs and OpenCV have them. Diffusion works on torch
tensors, batch first and channels before time, as video backbones have them.
"""

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64, UInt8
from torch import Tensor

Frames = UInt8[np.ndarray, "time height width 3"]
"""RGB frames, 0 to 255."""

Picture = UInt8[np.ndarray, "height width 3"]
"""One RGB picture, 0 to 255."""

Flow = Float32[np.ndarray, "steps height width 2"]
"""Displacement (u, v) in pixels, x to the right and y down; step k leads from frame k to k + 1 (forward), or back (backward)."""

Mask = Bool[np.ndarray, "steps height width"]
"""True where the statement of the name holds (for `occluded`: the pixel is not seen in the other frame)."""

ControlMap = UInt8[np.ndarray, "time height width"]
"""A dense condition such as soft edges, one channel, 0 to 255."""

NoiseArray = Float[np.ndarray, "frames channels height width"]
"""Noise on a latent grid, one frame per emitted frame."""

Latents = Float[Tensor, "batch channels time height width"]
"""A batch of latent videos, or of noise, velocities and predictions of the same shape."""

Times = Float[Tensor, " batch"]
"""Diffusion time in [0, 1], one per sample: 0 is data, 1 is noise."""

Tokens = Int64[Tensor, "batch words"]
"""Caption tokens, padded with 0."""
