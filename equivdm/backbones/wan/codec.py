"""Wan 2.1's causal video autoencoder as a codec."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from equivdm.backbones.base import Video, VideoChunk
from equivdm.backbones.wan.backbone import GEOMETRY
from equivdm.types import LatentChunk, Latents

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
        # A causal convolution keeps what it needs of the frames before: one entry for each at most.
        self._caches = sum(isinstance(each, nn.Conv3d) for each in self.vae.decoder.modules())
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
        return self.vae.decode(self._scaled(latents)).sample.to(latents.dtype)

    def decode_stream(self, chunks: Iterable[LatentChunk]) -> Iterator[VideoChunk]:
        """Yield the video of each chunk: one frame for the very first latent frame, four for each other.

        What the decoder keeps of the frames before is at hand per stream, not in the autoencoder: a stream may wait
        while that encodes or decodes something else. Chunks are decoded whole, never in tiles.

        Raises ValueError where the latents have not 16 channels.
        """
        kept: list[Any] | None = None
        for latents in chunks:
            frames = []
            for frame in self.vae.post_quant_conv(self._scaled(latents)).split(1, dim=2):
                first = kept is None
                kept = kept or [None] * self._caches
                frames.append(self.vae.decoder(frame, feat_cache=kept, feat_idx=[0], first_chunk=first))
            yield torch.cat(frames, dim=2).clamp(-1, 1).to(latents.dtype)

    def _scaled(self, latents: Latents) -> Latents:
        """Return the latents on the autoencoder's own scale, where it is and as it has them."""
        if latents.shape[1] != GEOMETRY.channels:
            raise ValueError(
                f"got latents of {latents.shape[1]} channels, wanted {GEOMETRY.channels}: encode with Wan's codec"
            )
        scaled = latents.to(self.vae.device).float()
        scaled = scaled * self._deviation.to(scaled.device) + self._mean.to(scaled.device)
        return scaled.to(self.vae.dtype)


def _moments(values: list[float]) -> Moments:
    return torch.tensor(values).view(1, -1, 1, 1, 1)
