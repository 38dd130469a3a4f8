"""What every backbone offers: the geometry of its latents, a codec, and a denoiser."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from equivdm.backbones.geometry import Geometry
from equivdm.types import Latents, Times, Tokens

Video = Float[Tensor, "batch 3 frames rows columns"]
"""A batch of RGB videos, -1 to 1."""

Control = Float[Tensor, "batch frames rows columns"] | UInt8[Tensor, "batch frames rows columns"]
"""A dense condition at pixel size: 0 to 1 as floats, 0 to 255 as bytes; all zeros says that there is none."""


@dataclass(frozen=True)
class Conditions:
    """What the denoiser is told beside the noisy latents."""

    tokens: Tokens
    """Caption; all zeros says that there is none."""
    control: Control
    """Dense condition at pixel size."""

    def to(self, device: torch.device | str) -> "Conditions":
        """Return the same conditions on `device`."""
        return Conditions(self.tokens.to(device), self.control.to(device))

    def split(self, count: int) -> list["Conditions"]:
        """Return those of the first samples, the next, and so on: `count` parts where it divides the samples."""
        return [Conditions(*part) for part in zip(self.tokens.chunk(count), self.control.chunk(count), strict=True)]

    def masked(self, keep_text: Bool[Tensor, " batch"], keep_control: Bool[Tensor, " batch"]) -> "Conditions":
        """Return a copy in which samples that are not kept have no caption, or no dense condition."""
        tokens = self.tokens * keep_text[:, None]
        control = self.control * rearrange(keep_control, "batch -> batch 1 1 1").to(self.control.dtype)
        return Conditions(tokens, control)


def control_as_float(control: Control) -> Float[Tensor, "batch frames rows columns"]:
    """Return the dense condition as floats from 0 to 1."""
    return control.float() / 255 if control.dtype == torch.uint8 else control


def per_sample(values: Times) -> Float[Tensor, "batch 1 1 1 1"]:
    """Return one number per sample in the shape that multiplies latents."""
    return rearrange(values, "batch -> batch 1 1 1 1")


@runtime_checkable
class Codec(Protocol):
    """Between pixels and latents."""

    geometry: Geometry

    def encode(self, video: Video) -> Latents:
        """Return the latents of a video, of about zero mean and unit variance."""
        ...

    def decode(self, latents: Latents) -> Video:
        """Return the video of latents, -1 to 1."""
        ...


@runtime_checkable
class Denoiser(Protocol):
    """Predicts what its `equivdm.objective.Diffusion` says, on that one's noise process."""

    def __call__(self, latents: Latents, times: Times, conditions: Conditions) -> Latents:
        """Return the prediction at x_t = `latents`, t = `times`."""
        ...


class DenoiserModule(nn.Module):
    """A denoiser with weights."""

    recompute: bool = False
    """Whether the backward pass computes each block's activations again instead of keeping them: less memory, the
    same values."""

    def forward(self, latents: Latents, times: Times, conditions: Conditions) -> Latents:
        """Return the prediction at x_t = `latents`, t = `times`."""
        raise NotImplementedError
