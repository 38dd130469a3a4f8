"""Backbones: a codec (pixels to latents), a denoiser and its diffusion, chosen by their config.

Importing this package loads no torch, so that a job can be planned without it; the builders do.
"""

from typing import TYPE_CHECKING

from equivdm.backbones.geometry import TINY, Geometry
from equivdm.config import BackboneConfig, Parameterisation, SamplerConfig

if TYPE_CHECKING:
    import equivdm.backbones.base
    import equivdm.objective

CODEC_VERSIONS = {"tiny": 1}
"""Number of each codec's arithmetic: raise it when the same pixels would give other latents."""


def codec_identity(config: BackboneConfig) -> dict[str, str | int]:
    """Return what decides a clip's latents, for its fingerprint: the size of the network is no part of it."""
    return {"kind": config.kind, "version": CODEC_VERSIONS[config.kind]}


def geometry_of(config: BackboneConfig) -> Geometry:
    """Return how the latent grid lies over the video."""
    return {"tiny": TINY}[config.kind]


def check_size(config: BackboneConfig, height: int, width: int) -> None:
    """Raise ValueError where the network cannot take videos of `height` x `width` pixels."""
    geometry = geometry_of(config)
    geometry.check_patch(*geometry.grid(height, width), config.patch)


def sampler_of(config: BackboneConfig) -> SamplerConfig:
    """Return the sampler that suits a trained model where no other is given."""
    return {"tiny": SamplerConfig()}[config.kind]


def diffusion_of(config: BackboneConfig, objective: Parameterisation | None = None) -> "equivdm.objective.Diffusion":
    """Return the noise process, and what the network predicts: `objective`, or what the backbone is made for."""
    from equivdm.objective import Diffusion
    from equivdm.process import Straight

    own = {"tiny": Diffusion(Straight(), "flow")}[config.kind]
    return own if objective is None else Diffusion(own.process, objective)


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
