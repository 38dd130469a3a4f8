"""VideoCrafter2 from its public checkpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from equivdm.backbones.backbone import Backbone, ControlForm, TextEncoder
from equivdm.backbones.geometry import Geometry
from equivdm.backbones.videocrafter2.identity import part_identity, tokenizer_identity
from equivdm.config import SamplerConfig, VideoCrafter2Config
from equivdm.footprint import ATTENTION, VideoCrafter2Footprint

if TYPE_CHECKING:
    import torch

    import equivdm.backbones.base
    import equivdm.process

GEOMETRY = Geometry(channels=4, space_stride=8, time_stride=1, causal=False)
"""Frame by frame; each side becomes an eighth."""


@final
@dataclass(frozen=True)
class VideoCrafter2Backbone(Backbone):
    """See `Backbone`. The sampler is the published one."""

    config: VideoCrafter2Config

    kind = "videocrafter2"
    codec_version = text_version = 1
    geometry = GEOMETRY
    sampler = SamplerConfig(kind="ddim", steps=50, guidance=12.0)
    drawn = False
    predicts = "epsilon"
    lora_targets = ATTENTION

    @property
    def patch(self) -> int:
        return self.config.unet.stride

    def codec_parts(self) -> dict[str, Any]:
        return part_identity(self.config, "autoencoder")

    def text_parts(self) -> dict[str, Any]:
        return {**part_identity(self.config, "text"), **tokenizer_identity(self.config)}

    def network_identity(self) -> dict[str, Any]:
        return {"kind": self.kind, **part_identity(self.config, "unet")}

    def control_form(self) -> ControlForm:
        return "none"

    def footprint(self) -> VideoCrafter2Footprint:
        return VideoCrafter2Footprint(self.config.unet)

    def process(self) -> "equivdm.process.Process":
        from equivdm.process import VideoCrafter2Process

        return VideoCrafter2Process()

    def build_codec(self, device: "torch.device | str" = "cpu") -> "equivdm.backbones.base.Codec":
        from equivdm.backbones.videocrafter2.load import load_codec

        return load_codec(self.config, device)

    def build_text(self) -> TextEncoder:
        from equivdm.backbones.prompts import fastest
        from equivdm.backbones.videocrafter2.load import load_text

        device, dtype = fastest()
        return load_text(self.config, dtype, device).rows

    def open_denoiser(self, seed: int | None = None) -> "equivdm.backbones.base.DenoiserModule":
        from equivdm.backbones.videocrafter2.load import open_denoiser

        return open_denoiser(self.config)

    def build_empty(self) -> "torch.nn.Module":
        import torch

        from equivdm.networks.videocrafter2.unet import UNet

        with torch.device("meta"):
            return UNet(self.config.unet)

    def open_exported(self, folder: Path) -> "equivdm.backbones.base.DenoiserModule":
        from equivdm.backbones.videocrafter2.load import open_denoiser

        return open_denoiser(self.config, folder)
