"""Wan 2.1's causal video autoencoder as a codec."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from equivdm.backbones.base import Video
from equivdm.backbones.wan.backbone import GEOMETRY
from equivdm.types import Latents

Moments = Float[Tensor, "1 16 1 1 1"]


class WanCodec:
    """Between pixels and normalised latents: 4n + 1 frames become n + 1, each side becomes an eighth.

    The autoencoder is frozen. It computes on its own device and in its own precision; results are on that device, in
    the precision of what was given.
    """

    geometry = GEOMETRY

    def __init__(self, vae: nn.Module) -> None:
        """Take a `diffusers.AutoencoderKLWan`.

        Raises ValueError where it is that of another model, such as Wan 2.2's with 48 channels.
        """
        config: Any = vae.config
        sizes = (config.z_dim, config.scale_factor_spatial, config.scale_factor_temporal)
        wanted = (GEOMETRY.channels, GEOMETRY.space_stride, GEOMETRY.time_stride)
        if sizes != wanted:
            raise ValueError(
                f"got an autoencoder of {sizes} (channels, space stride, time stride), wanted {wanted}: "
                "give that of Wan 2.1"
            )
        self.vae: Any = vae.eval().requires_grad_(False)
        self._mean, self._deviation = _moments(config.latents_mean), _moments(config.latents_std)

    def encode(self, video: Video) -> Latents:
        """Return (mode of the posterior - mean) / deviation, mean and deviation being the model's own, per channel.

        Args:
            video: RGB, -1 to 1; 4n + 1 frames, sides that are multiples of 8 pixels.

        Raises:
            ValueError: for another length or size.
        """
        self.geometry.frame_indices(video.shape[2])
        self.geometry.grid(video.shape[3], video.shape[4])
        posterior = self.vae.encode(video.to(self.vae.device, self.vae.dtype)).latent_dist
        mode = posterior.mode().float()
        return ((mode - self._mean.to(mode.device)) / self._deviation.to(mode.device)).to(video.dtype)

    def decode(self, latents: Latents) -> Video:
        """Return the video of latents, clipped to [-1, 1]: n latent frames become 4n - 3.

        Raises ValueError where the latents have not 16 channels.
        """
        if latents.shape[1] != GEOMETRY.channels:
            raise ValueError(
                f"got latents of {latents.shape[1]} channels, wanted {GEOMETRY.channels}: encode with Wan's codec"
            )
        scaled = latents.to(self.vae.device).float()
        scaled = scaled * self._deviation.to(scaled.device) + self._mean.to(scaled.device)
        return self.vae.decode(scaled.to(self.vae.dtype)).sample.to(latents.dtype)


def _moments(values: list[float]) -> Moments:
    return torch.tensor(values).view(1, -1, 1, 1, 1)
