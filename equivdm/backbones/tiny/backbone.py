"""The embedded backbone: half-resolution pixels as latents, words of captions as tokens, and a small transformer."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from equivdm.backbones.backbone import Backbone, ControlForm, TextEncoder
from equivdm.backbones.geometry import Geometry
from equivdm.config import SamplerConfig, TinyConfig
from equivdm.footprint import TinyFootprint

if TYPE_CHECKING:
    import torch

    import equivdm.backbones.base
    import equivdm.process

GEOMETRY = Geometry(channels=3, space_stride=2, time_stride=1, causal=False)
"""One latent cell is a square of 2 x 2 pixels of one frame."""

NETWORK_VERSION = 2
"""Raised when the same weights would say something else, or would not fit: 2 starts from a linear denoiser."""


@final
@dataclass(frozen=True)
class TinyBackbone(Backbone):
    """See `Backbone`."""

    config: TinyConfig

    kind = "tiny"
    codec_version = text_version = 1
    geometry = GEOMETRY
    sampler = SamplerConfig()
    drawn = True
    predicts = "flow"
    lora_targets = ("mix_in", "mix_out")

    @property
    def patch(self) -> int:
        return self.config.patch

    def codec_parts(self) -> dict[str, Any]:
        return {}

    def text_parts(self) -> dict[str, Any]:
        return {}

    def network_identity(self) -> dict[str, Any]:
        return {**self.config.model_dump(), "version": NETWORK_VERSION}

    def control_form(self) -> ControlForm:
        return "pixels"

    @property
    def takes_colour(self) -> bool:
        return self.config.control_channels == 3

    def footprint(self) -> TinyFootprint:
        return TinyFootprint(self.config)

    def process(self) -> "equivdm.process.Process":
        from equivdm.process import Straight

        return Straight()

    def build_codec(self, device: "torch.device | str" = "cpu") -> "equivdm.backbones.base.Codec":
        from equivdm.backbones.tiny.codec import TinyCodec

        return TinyCodec()

    def build_text(self) -> TextEncoder:
        from equivdm.text import token_rows

        return token_rows

    def open_denoiser(self, seed: int | None = None) -> "equivdm.backbones.base.DenoiserModule":
        import torch

        from equivdm.backbones.tiny.denoiser import TinyDenoiser

        if seed is None:
            return TinyDenoiser(self.config)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return TinyDenoiser(self.config)

    def build_empty(self) -> "torch.nn.Module":
        import torch

        with torch.device("meta"):
            return self.open_denoiser()

    def open_exported(self, folder: Path) -> "equivdm.backbones.base.DenoiserModule":
        from equivdm.backbones.tiny.denoiser import open_exported

        return open_exported(self.config, folder)
