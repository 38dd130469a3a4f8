"""Backbones: codec (pixels to latents), text encoder, denoiser and its diffusion, chosen by their config.

Importing this package loads no torch, so that a job can be planned without it; the builders do.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from equivdm.backbones.geometry import TINY, VIDEOCRAFTER2, WAN, Geometry
from equivdm.config import BackboneConfig, LoraConfig, Parameterisation, SamplerConfig, TinyConfig, VideoCrafter2Config

if TYPE_CHECKING:
    import numpy as np
    import torch

    import equivdm.backbones.base
    import equivdm.objective

CODEC_VERSIONS = {"tiny": 1, "wan": 1, "videocrafter2": 1}
"""Number of each codec's arithmetic: raise it when the same pixels would give other latents."""

TEXT_VERSIONS = {"tiny": 1, "wan": 1, "videocrafter2": 1}
"""Number of each text encoder's arithmetic, likewise."""

ControlForm = Literal["pixels", "latents", "none"]
"""How a denoiser is shown its dense condition: at pixel size, as latents, or not at all."""

TextEncoder = Callable[[Sequence[str]], "list[np.ndarray]"]
"""From prompts to a row each, up to the prompt's end: int64 tokens [words], or float16 embeddings [words, features]."""

LORA_TARGETS = {
    "tiny": ("mix_in", "mix_out"),
    "wan": ("to_q", "to_k", "to_v", "to_out.0"),
    "videocrafter2": ("to_q", "to_k", "to_v", "to_out.0"),
}
"""Linear layers that adapters are put on where a job names none: ends of their names."""


def targets_of(config: BackboneConfig, lora: LoraConfig) -> tuple[str, ...]:
    """Return which linear layers get adapters."""
    return lora.targets or LORA_TARGETS[config.kind]


def codec_identity(config: BackboneConfig) -> dict[str, Any]:
    """Return what decides a clip's latents, for its fingerprint: the size of the network is no part of it."""
    identity: dict[str, Any] = {"kind": config.kind, "version": CODEC_VERSIONS[config.kind]}
    if isinstance(config, TinyConfig):
        return identity
    if isinstance(config, VideoCrafter2Config):
        from equivdm.backbones.videocrafter2.identity import part_identity

        return identity | part_identity(config, "autoencoder")
    from equivdm.backbones.wan.parts import part_digest

    return identity | {"vae": part_digest(config.model, "vae")}


def text_identity(config: BackboneConfig) -> dict[str, Any]:
    """Return what decides a caption's row, likewise."""
    identity: dict[str, Any] = {"kind": config.kind, "version": TEXT_VERSIONS[config.kind]}
    if isinstance(config, TinyConfig):
        return identity
    if isinstance(config, VideoCrafter2Config):
        from equivdm.backbones.videocrafter2.identity import part_identity, tokenizer_identity

        return identity | part_identity(config, "text") | tokenizer_identity(config)
    from equivdm.backbones.wan.parts import part_digest

    parts = {part: part_digest(config.model, part) for part in ("text_encoder", "tokenizer")}
    return identity | parts | {"words": config.words}


def network_identity(config: BackboneConfig) -> dict[str, Any]:
    """Return what decides the network that training starts from, but for the seed."""
    if isinstance(config, TinyConfig):
        return config.model_dump()
    if isinstance(config, VideoCrafter2Config):
        from equivdm.backbones.videocrafter2.identity import part_identity

        return {"kind": config.kind, **part_identity(config, "unet")}
    from equivdm.backbones.wan.parts import part_digest

    return {"kind": config.kind, "words": config.words, "transformer": part_digest(config.model, "transformer")}


def control_form(config: BackboneConfig) -> ControlForm:
    """Return how the denoiser is shown its dense condition. Raises UsageError for a model that cannot be read."""
    if isinstance(config, TinyConfig):
        return "pixels"
    if isinstance(config, VideoCrafter2Config):
        return "none"
    from equivdm.backbones.wan.parts import is_vace

    return "latents" if is_vace(config.model) else "none"


def geometry_of(config: BackboneConfig) -> Geometry:
    """Return how the latent grid lies over the video."""
    return {"tiny": TINY, "wan": WAN, "videocrafter2": VIDEOCRAFTER2}[config.kind]


def check_size(config: BackboneConfig, height: int, width: int) -> None:
    """Raise ValueError where the network cannot take videos of `height` x `width` pixels."""
    geometry = geometry_of(config)
    patch = 2
    if isinstance(config, TinyConfig):
        patch = config.patch
    elif isinstance(config, VideoCrafter2Config):
        patch = config.unet.stride
    geometry.check_patch(*geometry.grid(height, width), patch)


def sampler_of(config: BackboneConfig) -> SamplerConfig:
    """Return the sampler that suits a trained model where no other is given: as published, Wan's for 480 rows."""
    wan = SamplerConfig(kind="unipc", steps=50, shift=3.0, guidance=5.0)
    videocrafter2 = SamplerConfig(kind="euler", steps=50, guidance=12.0)
    return {"tiny": SamplerConfig(), "wan": wan, "videocrafter2": videocrafter2}[config.kind]


def diffusion_of(config: BackboneConfig, objective: Parameterisation | None = None) -> "equivdm.objective.Diffusion":
    """Return the noise process, and what the network predicts: `objective`, or what the backbone is made for."""
    from equivdm.objective import Diffusion
    from equivdm.process import Straight, VideoCrafter2Process

    flow = Diffusion(Straight(), "flow")
    own = Diffusion(VideoCrafter2Process(), "epsilon") if isinstance(config, VideoCrafter2Config) else flow
    return own if objective is None else Diffusion(own.process, objective)


def build_codec(config: BackboneConfig, device: "torch.device | str" = "cpu") -> "equivdm.backbones.base.Codec":
    """Return the codec between pixels and latents. Where it has weights they lie on `device`."""
    if isinstance(config, TinyConfig):
        from equivdm.backbones.tiny import TinyCodec

        return TinyCodec()
    if isinstance(config, VideoCrafter2Config):
        from equivdm.backbones.videocrafter2.load import load_codec as load_frame_codec

        return load_frame_codec(config, device)
    from equivdm.backbones.wan.load import load_codec

    return load_codec(config.model, device=device)


def build_text(config: BackboneConfig) -> TextEncoder:
    """Return what encodes prompts. One with weights has them on a GPU, in bfloat16, where the process has one."""
    if isinstance(config, TinyConfig):
        from equivdm.text import token_rows

        return token_rows
    import torch

    device, dtype = ("cuda", torch.bfloat16) if torch.cuda.is_available() else ("cpu", torch.float32)
    if isinstance(config, VideoCrafter2Config):
        from equivdm.backbones.videocrafter2.load import load_text as load_clip

        return load_clip(config, dtype, device).rows
    from equivdm.backbones.wan.load import load_text

    return load_text(config.model, device=device, dtype=dtype, words=config.words).rows


def build_denoiser(config: BackboneConfig, seed: int | None = None) -> "equivdm.backbones.base.DenoiserModule":
    """Return a new network; of those that are published the one that their files hold.

    A `seed` fixes the initial weights of one that has no published ones, and leaves the global generator as it was.
    """
    from equivdm.backbones.deferred import materialise

    return materialise(open_denoiser(config, seed), "cpu")


def open_denoiser(config: BackboneConfig, seed: int | None = None) -> "equivdm.backbones.base.DenoiserModule":
    """Return it with the weights that files hold yet to be read (see `equivdm.backbones.deferred`)."""
    if isinstance(config, VideoCrafter2Config):
        from equivdm.backbones.videocrafter2.load import open_denoiser as open_unet

        return open_unet(config)
    if not isinstance(config, TinyConfig):
        from equivdm.backbones.wan.load import open_denoiser as open_transformer

        return open_transformer(config.model, words=config.words)
    import torch

    from equivdm.backbones.tiny import TinyDenoiser

    if seed is None:
        return TinyDenoiser(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TinyDenoiser(config)


def build_empty(config: BackboneConfig) -> "torch.nn.Module":
    """Return the body of the network without memory for its weights: names and shapes only."""
    if isinstance(config, VideoCrafter2Config):
        import torch

        from equivdm.networks.videocrafter2.unet import UNet

        with torch.device("meta"):
            return UNet(config.unet)
    if not isinstance(config, TinyConfig):
        from equivdm.backbones.wan import folder, parts

        return folder.build_empty(parts.find_part(config.model, "transformer"), parts.TRANSFORMERS)
    import torch

    with torch.device("meta"):
        return open_denoiser(config)


def load_exported(config: BackboneConfig, folder: Path) -> "equivdm.backbones.base.DenoiserModule":
    """Return the network that `DenoiserModule.export` wrote to a folder."""
    from equivdm.backbones.deferred import materialise

    return materialise(open_exported(config, folder), "cpu")


def open_exported(config: BackboneConfig, folder: Path) -> "equivdm.backbones.base.DenoiserModule":
    """Return it with its weights yet to be read, which needs the folder no more."""
    if isinstance(config, VideoCrafter2Config):
        from equivdm.backbones.videocrafter2.load import open_denoiser as open_unet

        return open_unet(config, folder)
    if not isinstance(config, TinyConfig):
        from equivdm.backbones.wan.load import open_denoiser as open_transformer

        return open_transformer(str(folder), words=config.words)
    from equivdm.backbones.tiny import open_exported as open_tiny

    return open_tiny(config, folder)
