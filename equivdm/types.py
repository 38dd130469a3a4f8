"""Shapes as named types. `pytest --jaxtyping-packages=equivdm,beartype.beartype` checks them; a run does not.

Videos on the host are numpy, time first and channels last, as codecs and OpenCV have them. Diffusion works on torch
tensors, batch first and channels before time, as video backbones have them.
"""

from jaxtyping import Float, Int64
from torch import Tensor

from equivdm.arrays import ControlMap, Flow, Frames, Mask, NoiseArray, Picture

__all__ = ["ControlMap", "Flow", "Frames", "LatentChunk", "Latents", "Mask", "NoiseArray", "Picture", "Times", "Tokens"]

Latents = Float[Tensor, "batch channels time height width"]
"""A batch of latent videos, or of noise, velocities and predictions of the same shape."""

LatentChunk = Float[Tensor, "batch channels _ height width"]
"""Some latent frames of videos: their number differs from chunk to chunk."""

Times = Float[Tensor, " batch"]
"""Diffusion time in [0, 1], one per sample: 0 is data, 1 is noise."""

Tokens = Int64[Tensor, "batch words"]
"""Caption tokens, padded with 0."""
