"""What a kind of backbone says of itself. No torch: a job is planned without it; the builders load it."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from equivdm.backbones.geometry import Geometry
from equivdm.config import LoraConfig, Parameterisation, SamplerConfig
from equivdm.footprint import Footprint

if TYPE_CHECKING:
    import numpy as np
    import torch

    import equivdm.backbones.base
    import equivdm.objective
    import equivdm.process

ControlForm = Literal["pixels", "latents", "none"]
"""How a denoiser is shown its dense condition: at pixel size, as latents, or not at all."""

TextEncoder = Callable[[Sequence[str]], "list[np.ndarray]"]
"""From prompts to a row each, up to the prompt's end: int64 tokens [words], or float16 embeddings [words, features]."""


@runtime_checkable
class Backbone(Protocol):
    """A kind of backbone with its settings: codec (pixels to latents), text encoder, denoiser and its diffusion.

    Kinds derive from it, and give all that it only names. What reads files raises UsageError where they are missing,
    damaged, or of another model.
    """

    kind: ClassVar[str]
    """As its config has it."""
    codec_version: ClassVar[int]
    """Of the codec's arithmetic: raised when the same pixels would give other latents."""
    text_version: ClassVar[int]
    """Of the text encoder's arithmetic, likewise."""
    geometry: ClassVar[Geometry]
    """How the latent grid lies over the video."""
    sampler: ClassVar[SamplerConfig]
    """What suits a trained model where no other is given."""
    drawn: ClassVar[bool]
    """Whether a new network is drawn from a seed, not read from files."""
    predicts: ClassVar[Parameterisation]
    """What its network is made to predict."""
    lora_targets: ClassVar[tuple[str, ...]]
    """Linear layers that adapters are put on where a job names none: ends of their names."""

    @property
    @abstractmethod
    def patch(self) -> int:
        """Latent cells, along each side, that the network's latents must be multiples of."""

    @abstractmethod
    def codec_parts(self) -> Mapping[str, Any]:
        """Return what decides a clip's latents beside kind and version."""

    @abstractmethod
    def text_parts(self) -> Mapping[str, Any]:
        """Return what decides a caption's row, likewise."""

    @abstractmethod
    def network_identity(self) -> dict[str, Any]:
        """Return what decides the network that training starts from, but for the seed."""

    @abstractmethod
    def control_form(self) -> ControlForm:
        """Return how the denoiser is shown its dense condition."""

    @abstractmethod
    def footprint(self) -> Footprint:
        """Return the denoiser's sizes. Raises UsageError for a model whose sizes cannot be known."""

    @abstractmethod
    def process(self) -> "equivdm.process.Process":
        """Return the noise process of the denoiser."""

    @abstractmethod
    def build_codec(self, device: "torch.device | str" = "cpu") -> "equivdm.backbones.base.Codec":
        """Return the codec between pixels and latents. Where it has weights they lie on `device`."""

    @abstractmethod
    def build_text(self) -> TextEncoder:
        """Return what encodes prompts. One with weights has them on a GPU, in bfloat16, where the process has one."""

    @abstractmethod
    def open_denoiser(self, seed: int | None = None) -> "equivdm.backbones.base.DenoiserModule":
        """Return a new network; of those that are published the one that their files hold.

        What files hold is yet to be read (see `equivdm.backbones.deferred`). A `seed` fixes the initial weights of one
        that has no published ones, and leaves the global generator as it was.
        """

    @abstractmethod
    def build_empty(self) -> "torch.nn.Module":
        """Return the body of the network without memory for its weights: names and shapes only."""

    @abstractmethod
    def open_exported(self, folder: Path) -> "equivdm.backbones.base.DenoiserModule":
        """Return the network that `DenoiserModule.export` wrote to a folder: yet to be read, also when that is gone."""

    def build_denoiser(self, seed: int | None = None) -> "equivdm.backbones.base.DenoiserModule":
        """Return what `open_denoiser` does, with its weights, on the CPU."""
        from equivdm.backbones.deferred import materialise

        return materialise(self.open_denoiser(seed), "cpu")

    def load_exported(self, folder: Path) -> "equivdm.backbones.base.DenoiserModule":
        """Return what `open_exported` does, likewise."""
        from equivdm.backbones.deferred import materialise

        return materialise(self.open_exported(folder), "cpu")

    @property
    def takes_colour(self) -> bool:
        """Whether its dense condition may be in colour."""
        return True

    def codec_identity(self) -> dict[str, Any]:
        """Return what decides a clip's latents, for its fingerprint: the size of the network is no part of it."""
        return {"kind": self.kind, "version": self.codec_version, **self.codec_parts()}

    def text_identity(self) -> dict[str, Any]:
        """Return what decides a caption's row, likewise."""
        return {"kind": self.kind, "version": self.text_version, **self.text_parts()}

    def diffusion(self, objective: Parameterisation | None = None) -> "equivdm.objective.Diffusion":
        """Return the noise process, and what the network predicts: `objective`, or what the backbone is made for."""
        from equivdm.objective import Diffusion

        return Diffusion(self.process(), objective or self.predicts)

    @property
    def multiple(self) -> int:
        """Pixels, along each side, that the network's videos must be multiples of."""
        return self.geometry.space_stride * self.patch

    def targets(self, lora: LoraConfig) -> tuple[str, ...]:
        """Return which linear layers get adapters."""
        return lora.targets or self.lora_targets

    def check_size(self, height: int, width: int) -> None:
        """Raise ValueError where the network cannot take videos of `height` x `width` pixels."""
        self.geometry.check_patch(*self.geometry.grid(height, width), self.patch)
