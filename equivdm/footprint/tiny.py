"""The embedded backbone."""

from collections.abc import Sequence
from dataclasses import dataclass

from equivdm.config import TinyConfig
from equivdm.footprint.base import Linear, Micro, seen_blocks


@dataclass(frozen=True)
class TinyFootprint:
    """Sizes by its config."""

    config: TinyConfig

    @property
    def _channels(self) -> tuple[int, int]:
        """Of the convolutions, at latent resolution and at half of it."""
        return self.config.channels, 2 * self.config.channels

    @property
    def parameters(self) -> int:
        """Number of weights."""
        from equivdm.text import VOCABULARY  # loads numpy

        fine, coarse = self._channels
        d, patch = self.config.width, coarse * (self.config.patch // 2) ** 2
        block = 3 * d * (d + 1) + 7 * d * (d + 1) + d * (5 * d + 1)
        transformer = patch * d + d + d * patch + patch + 2 * d * (d + 1) + VOCABULARY * d + 2 * d * (d + 1)
        film = (2 * fine + 2 * coarse + 2 * fine) * (d + 1)
        return self._convolutions + transformer + film + self.config.depth * block

    @property
    def largest(self) -> int:
        """Of attention and MLP, of the words, of patches, or of a convolution."""
        from equivdm.text import VOCABULARY  # loads numpy

        fine, coarse = self._channels
        d, patch = self.config.width, coarse * (self.config.patch // 2) ** 2
        return max(7 * d * d, d * VOCABULARY, d * patch, 2 * d * (2 * fine + coarse), 18 * coarse * coarse)

    @property
    def _planes(self) -> int:
        """Of the input: latents, dense condition, clock."""
        return 3 + 4 * self.config.control_channels + 1

    @property
    def _convolutions(self) -> int:
        fine, coarse = self._channels
        pairs = [(self._planes, fine), (2 * fine, fine), (coarse, coarse), (2 * coarse, coarse), (fine, 3)]
        cubes = sum(9 * inputs * outputs + outputs for inputs, outputs in pairs)
        return cubes + 4 * fine * coarse + coarse + coarse * 4 * fine + 4 * fine

    @property
    def linears(self) -> Sequence[Linear]:
        """Attention and MLP, which are one layer in and one out."""
        d, depth = self.config.width, self.config.depth
        return [Linear("mix_in", d, 7 * d, depth), Linear("mix_out", 5 * d, d, depth)]

    @property
    def features(self) -> Sequence[int]:
        """Of blocks."""
        return [self.config.width for _ in seen_blocks(self.config.depth)]

    def kept(self, micro: Micro, *, mixed: bool, recompute: bool) -> float:
        """See `Footprint`."""
        d, patch, tokens = self.config.width, self.config.patch, micro.cells / self.config.patch**2
        images, unit = micro.clips * micro.frames, 2 if mixed else 4
        angles = (micro.rows * micro.columns / patch**2 + micro.frames) * (d / self.config.heads / 2)
        block = tokens * (19 * unit * d + 2 * unit + 4 * self.config.heads) + 4 * unit * angles
        block += (10 if mixed else 16) * micro.clips * d
        ends = tokens * (3 * unit * d + 2 * unit) + (16 if mixed else 24) * micro.clips * d + 140 * micro.clips
        channels = self.config.channels
        ends += (8 + 12.5 * channels) * unit * micro.cells + 4 * channels * unit * images
        if mixed:
            block += 30 * d * d
            ends += 6 * d * d + 16 * channels * d + 2 * channels * d * patch**2 + 2 * self._convolutions
        depth = self.config.depth
        return ends + (depth * unit * tokens * d + block if recompute else depth * block)

    def flops(self, micro: Micro) -> float:
        """See `Footprint`."""
        d, patch, cells = self.config.width, self.config.patch, micro.cells
        tokens = cells / patch**2
        places = micro.rows * micro.columns / patch**2
        block = 2 * tokens * 12 * d * d + 4 * tokens * (places + micro.frames) * d / 2
        fine, coarse = self._channels
        near = 9 * (self._planes * fine + 2 * fine * fine + fine * 3)
        far = (4 * fine * coarse + 9 * 3 * coarse * coarse + 4 * coarse * fine) / 4
        return self.config.depth * block + 2 * cells * (near + far) + 2 * tokens * 2 * coarse * patch**2 / 4 * d
