"""VideoCrafter2's autoencoder as a codec."""

from collections.abc import Iterable, Iterator

from equivdm.backbones.base import Video, VideoChunk
from equivdm.backbones.videocrafter2.backbone import GEOMETRY
from equivdm.networks.videocrafter2.autoencoder import Autoencoder
from equivdm.types import LatentChunk, Latents


class VideoCrafter2Codec:
    """Frame by frame; each side becomes an eighth. Results are on the device of the autoencoder's weights."""

    geometry = GEOMETRY

    def __init__(self, autoencoder: Autoencoder) -> None:
        """Take the frozen autoencoder."""
        self.autoencoder = autoencoder

    def encode(self, video: Video) -> Latents:
        """Return the mean of the posterior, times 0.18215, for RGB of -1 to 1.

        Raises ValueError where the sides are no multiples of 8 pixels.
        """
        self.geometry.grid(video.shape[3], video.shape[4])
        return self.autoencoder.encode(video.to(self.autoencoder.quant_conv.weight.device))

    def decode(self, latents: Latents) -> Video:
        """Return the video of latents, clipped to [-1, 1]."""
        return self.autoencoder.decode(latents.to(self.autoencoder.quant_conv.weight.device)).clamp(-1, 1)

    def decode_stream(self, chunks: Iterable[LatentChunk]) -> Iterator[VideoChunk]:
        """Yield the video of each chunk: frames do not know of each other."""
        return map(self.decode, chunks)
