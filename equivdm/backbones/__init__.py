"""Backbones: a codec (pixels to latents) and a denoiser (velocity of the flow), chosen by their config.

Importing this package loads no torch, so that a job can be planned without it; the builders do.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from equivdm.config import BackboneConfig, TinyConfig

if TYPE_CHECKING:
    import equivdm.backbones.base

CODEC_VERSIONS = {"tiny": 1}
"""Number of each codec's arithmetic: raise it when the same pixels would give other latents."""


def codec_identity(config: BackboneConfig) -> dict[str, str | int]:
    """Return what decides a clip's latents, for its fingerprint: the size of the network is no part of it."""
    return {"kind": config.kind, "version": CODEC_VERSIONS[config.kind]}


def build_codec(config: BackboneConfig) -> "equivdm.backbones.base.Codec":
    """Return the codec between pixels and latents."""
    from equivdm.backbones.tiny import TinyCodec

    return {"tiny": TinyCodec}[config.kind]()


def build_denoiser(config: BackboneConfig, seed: int | None = None) -> "equivdm.backbones.base.DenoiserModule":
    """Return a new network. A `seed` fixes its initial weights and leaves the global generator as it was."""
    import torch

    from equivdm.backbones.tiny import TinyDenoiser

    network = {"tiny": TinyDenoiser}[config.kind]
    if seed is None:
        return network(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return network(config)


def pretrained_file(config: BackboneConfig) -> Path:
    """Return the file of the weights that come with a network: a plain video model, trained on independent noise.

    Raises ValueError where none come: only the default size of `tiny` has some.
    """
    if config != TinyConfig():
        raise ValueError(f"got a backbone without pretrained weights ({config}), wanted {TinyConfig()}: or start fresh")
    return Path(__file__).parent / "weights" / "tiny.safetensors"


def load_pretrained(denoiser: "equivdm.backbones.base.DenoiserModule", config: BackboneConfig) -> None:
    """Give a network the weights that come with it (stored in half precision). Raises ValueError where none do."""
    from safetensors.torch import load_file

    stored = load_file(pretrained_file(config))
    denoiser.load_state_dict({name: tensor.float() for name, tensor in stored.items()})
