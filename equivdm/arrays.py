"""Shapes of what lies on the host, as named types. No torch: a decoder process starts faster and smaller without it."""

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

Frames = UInt8[np.ndarray, "time height width 3"]
"""RGB frames, 0 to 255."""

Picture = UInt8[np.ndarray, "height width 3"]
"""One RGB picture, 0 to 255."""

Flow = Float32[np.ndarray, "steps height width 2"]
"""Displacement (u, v) in pixels, x right, y down; step k leads from frame k to k + 1 (forward) or back (backward)."""

Mask = Bool[np.ndarray, "steps height width"]
"""True where the statement of the name holds (for `occluded`: the pixel is not seen in the other frame)."""

ControlMap = UInt8[np.ndarray, "time height width"] | UInt8[np.ndarray, "time height width 3"]
"""A dense condition, 0 to 255: one channel, such as soft edges, or RGB."""

Features = Float32[np.ndarray, "_ features"]
"""What a network sees: a row a frame, or one a clip."""

NoiseArray = Float[np.ndarray, "frames channels rows columns"]
"""Noise on a latent grid, one frame per emitted frame."""
