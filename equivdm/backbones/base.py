"""What every backbone offers: the geometry of its latents, a codec, and a denoiser."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from equivdm.backbones.geometry import Geometry
from equivdm.networks.deferred import Reader
from equivdm.types import Latents, Times, Tokens

Video = Float[Tensor, "batch 3 frames rows columns"]
"""A batch of RGB videos, -1 to 1."""

Control = Float[Tensor, "batch frames rows columns"] | UInt8[Tensor, "batch frames rows columns"]
"""A dense condition at pixel size: 0 to 1 as floats, 0 to 255 as bytes; all zeros says that there is none."""


Text = Tokens | Float[Tensor, "batch words features"]
"""Captions: tokens, or embeddings. What is left of a row behind its end is zero."""

Hint = Float[Tensor, "batch planes time height width"]
"""What VACE is shown, on the grid of the latents: 16 planes of latents that stay, 16 of those to be repainted."""


Features = Float[Tensor, "batch _places _width"]
"""What an inner layer says of each place of a video; layers differ in both."""


@dataclass(frozen=True)
class Conditions:
    """What the denoiser is told beside the noisy latents."""

    text: Text
    """Of the captions, or of the empty one."""
    control: Control | Hint | None
    """Dense condition in the backbone's own form (`Backbone.control_form`); None for those without."""
    fps: Float[Tensor, " batch"]
    """Frames a second of the clip."""

    def to(self, device: torch.device | str) -> "Conditions":
        """Return the same conditions on `device`."""
        control = None if self.control is None else self.control.to(device)
        return Conditions(self.text.to(device), control, self.fps.to(device))

    def split(self, count: int) -> list["Conditions"]:
        """Return those of the first samples, the next, and so on: `count` parts where it divides the samples."""
        texts, rates = self.text.chunk(count), self.fps.chunk(count)
        controls = [None] * len(texts) if self.control is None else self.control.chunk(count)
        return [Conditions(*part) for part in zip(texts, controls, rates, strict=True)]


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


class Base(NamedTuple):
    """The network that adapters were put on."""

    backbone: dict[str, Any]
    """Its config."""
    seed: int | None
    """That it was built with, unless it has other weights from elsewhere."""
    sha256: str
    """Of all its weights."""


class DenoiserModule(nn.Module):
    """A denoiser with weights."""

    base: Base | None = None
    """Where only adapters are trained: what they were put on."""
    readers: Mapping[str, Reader] = MappingProxyType({})
    """What reads the weights that lie on the meta device, by their names (see `equivdm.backbones.deferred`)."""
    _recompute: bool = False

    @property
    def recompute(self) -> bool:
        """Whether the backward pass computes each block's activations again instead of keeping them: less memory, the
        same values."""
        return self._recompute

    @recompute.setter
    def recompute(self, wanted: bool) -> None:
        self._recompute = wanted

    @property
    def body(self) -> nn.Module:
        """The network that adapters are of: itself, unless it wraps another."""
        return self

    @property
    def feature_layers(self) -> Mapping[str, int]:
        """Names, in the order of their calls, and channels of the layers that a head on features sees."""
        raise NotImplementedError

    def as_features(self, output: Tensor, batch: int) -> Features:
        """Return the output of such a layer, for so many videos, as features."""
        raise NotImplementedError

    def forward(self, latents: Latents, times: Times, conditions: Conditions) -> Latents:
        """Return the prediction at x_t = `latents`, t = `times`."""
        raise NotImplementedError

    def export(self, folder: Path, state: Mapping[str, Tensor]) -> None:
        """Write `state`, weights under the names of `state_dict`, such as their average, to a folder."""
        write_weights(folder, state)


WEIGHTS = "model.safetensors"
"""Name of a network's weights in a folder."""


def write_weights(folder: Path, state: Mapping[str, Tensor]) -> None:
    """Write weights by name to `folder`/`WEIGHTS`."""
    from safetensors.torch import save_file

    save_file({name: value.detach().cpu().contiguous() for name, value in state.items()}, folder / WEIGHTS)
