"""Wan 2.1, text to video or VACE, from diffusers' folders."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from equivdm.backbones.backbone import Backbone, ControlForm, TextEncoder
from equivdm.backbones.geometry import Geometry
from equivdm.backbones.wan.parts import TRANSFORMERS, find_part, is_vace, part_digest
from equivdm.config import SamplerConfig, WanConfig
from equivdm.footprint import ATTENTION, WanFootprint

if TYPE_CHECKING:
    import torch

    import equivdm.backbones.base
    import equivdm.process

GEOMETRY = Geometry(channels=16, space_stride=8, time_stride=4, causal=True)
"""The first latent frame holds one video frame, each later one holds four."""

PATCH = 2
"""Latent cells along each side of a token; a token is one latent frame long."""


@final
@dataclass(frozen=True)
class WanBackbone(Backbone):
    """See `Backbone`. The sampler is the published one, for 480 rows."""

    config: WanConfig

    kind = "wan"
    codec_version = text_version = 1
    geometry = GEOMETRY
    sampler = SamplerConfig(kind="unipc", steps=50, shift=3.0, guidance=5.0)
    drawn = False
    predicts = "flow"
    lora_targets = ATTENTION

    @property
    def patch(self) -> int:
        return PATCH

    def codec_parts(self) -> dict[str, Any]:
        return {"vae": part_digest(self.config.model, "vae")}

    def text_parts(self) -> dict[str, Any]:
        parts = {part: part_digest(self.config.model, part) for part in ("text_encoder", "tokenizer")}
        return {**parts, "words": self.config.words}

    def network_identity(self) -> dict[str, Any]:
        digest = part_digest(self.config.model, "transformer")
        return {"kind": self.kind, "words": self.config.words, "transformer": digest}

    def control_form(self) -> ControlForm:
        return "latents" if is_vace(self.config.model) else "none"

    def footprint(self) -> WanFootprint:
        return WanFootprint.of_model(self.config.model, self.config.words)

    def process(self) -> "equivdm.process.Process":
        from equivdm.process import Straight

        return Straight()

    def build_codec(self, device: "torch.device | str" = "cpu") -> "equivdm.backbones.base.Codec":
        from equivdm.backbones.wan.load import load_codec

        return load_codec(self.config.model, device=device)

    def build_text(self) -> TextEncoder:
        from equivdm.backbones.prompts import fastest
        from equivdm.backbones.wan.load import load_text

        device, dtype = fastest()
        return load_text(self.config.model, device=device, dtype=dtype, words=self.config.words).rows

    def open_denoiser(self, seed: int | None = None) -> "equivdm.backbones.base.DenoiserModule":
        from equivdm.backbones.wan.load import open_denoiser

        return open_denoiser(self.config.model, words=self.config.words)

    def build_empty(self) -> "torch.nn.Module":
        from equivdm.backbones.wan.folder import build_empty

        return build_empty(find_part(self.config.model, "transformer"), TRANSFORMERS)

    def open_exported(self, folder: Path) -> "equivdm.backbones.base.DenoiserModule":
        from equivdm.backbones.wan.load import open_denoiser

        return open_denoiser(str(folder), words=self.config.words)
