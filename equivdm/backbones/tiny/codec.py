"""Half-resolution pixels as latents."""

from collections.abc import Iterable, Iterator

import torch.nn.functional as F
from einops import rearrange

from equivdm.backbones.base import Video, VideoChunk
from equivdm.backbones.tiny.backbone import GEOMETRY
from equivdm.types import LatentChunk, Latents

LATENT_SCALE = 2.0
"""Latents per pixel value: natural video in [-1, 1] has a standard deviation of about 0.5."""


class TinyCodec:
    """Mean of 2 x 2 pixels; back by bicubic interpolation, sharpened until the means are right again."""

    geometry = GEOMETRY

    def encode(self, video: Video) -> Latents:
        """Return the scaled pixel means. Raises ValueError where the size is odd."""
        self.geometry.grid(video.shape[-2], video.shape[-1])
        return LATENT_SCALE * _means(video)

    def decode(self, latents: Latents) -> Video:
        """Return a video of twice the size, clipped to [-1, 1]."""
        wanted = latents / LATENT_SCALE
        video = _bicubic(wanted)
        # Back-projection: interpolation alone blurs, which shows as means that differ from the latents.
        for _ in range(2):
            video = video + _bicubic(wanted - _means(video))
        return video.clamp(-1, 1)

    def decode_stream(self, chunks: Iterable[LatentChunk]) -> Iterator[VideoChunk]:
        """Yield the video of each chunk: frames do not know of each other."""
        return map(self.decode, chunks)


def _means(video: Video) -> Latents:
    return F.avg_pool3d(video, (1, GEOMETRY.space_stride, GEOMETRY.space_stride))


def _bicubic(means: Latents) -> Video:
    frames = rearrange(means, "b c t h w -> (b t) c h w")
    frames = F.interpolate(frames, scale_factor=GEOMETRY.space_stride, mode="bicubic", align_corners=False)
    return rearrange(frames, "(b t) c h w -> b c t h w", b=means.shape[0])
