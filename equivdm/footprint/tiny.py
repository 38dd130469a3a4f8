"""The embedded backbone."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from equivdm.config import TinyConfig
from equivdm.footprint.base import Linear, Micro, seen_blocks


@dataclass(frozen=True)
class TinyFootprint:
    """Sizes by its config."""

    config: TinyConfig

    @property
    def parameters(self) -> int:
        """Number of weights."""
        from equivdm.text import VOCABULARY  # loads numpy

        d, cells = self.config.width, self._token_cells
        block = 3 * d * (d + 1) + 7 * d * (d + 1) + d * (5 * d + 1)
        transformer = cells * d + d + d * cells + cells + 2 * d * (d + 1) + VOCABULARY * d + 2 * d * (d + 1)
        return self._convolutions + transformer + self._modulations * (d + 1) + self.config.depth * block

    @property
    def largest(self) -> int:
        """Of attention and MLP, of the words, of patches, of modulations, or of a convolution."""
        from equivdm.text import VOCABULARY  # loads numpy

        d, coarse = self.config.width, self.config.level_channels[-1]
        convolution = max(18 * coarse * coarse, 9 * self._planes * self.config.channels)
        return max(7 * d * d, d * VOCABULARY, d * self._token_cells, d * self._modulations, convolution)

    @property
    def _planes(self) -> int:
        """Of the input: latents, what a linear guess makes of them, dense condition, clock."""
        return 3 + 3 + 4 * self.config.control_channels + 1

    @property
    def _token_cells(self) -> int:
        """Values of the maps of the last level that a token stands for."""
        side = self.config.patch >> (self.config.levels - 1)
        return self.config.level_channels[-1] * side**2

    @property
    def _modulations(self) -> int:
        """Scales and shifts of the way in at the first level, and of each level's way out."""
        return 2 * (self.config.channels + sum(self.config.level_channels))

    @property
    def _cubes(self) -> Sequence[tuple[int, int, int]]:
        """Level, inputs and outputs of each 3 x 3 convolution, but for the last."""
        channels = self.config.level_channels
        inward = enumerate(zip((self._planes, *channels[1:]), channels, strict=True))
        return [pair for level, (inputs, c) in inward for pair in ((level, inputs, c), (level, 2 * c, c))]

    @property
    def _convolutions(self) -> int:
        channels = self.config.level_channels
        cubes = sum(9 * inputs * outputs + outputs for _, inputs, outputs in (*self._cubes, (0, channels[0], 3)))
        between = sum(4 * c * below + below + below * 4 * c + 4 * c for c, below in pairwise(channels))
        return cubes + between

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
        # Feature maps: 8 a channel of the first level, 9 of the others.
        deeper = sum(9 * channels / 4**level for level, channels in enumerate(self.config.level_channels[1:], start=1))
        ends += (self._planes + 8 * self.config.channels + deeper) * unit * micro.cells
        ends += self._modulations / 2 * unit * images
        if mixed:
            block += 30 * d * d
            ends += 6 * d * d + 2 * d * self._modulations + 4 * d * self._token_cells + 2 * self._convolutions
        depth = self.config.depth
        return ends + (depth * unit * tokens * d + block if recompute else depth * block)

    def flops(self, micro: Micro) -> float:
        """See `Footprint`."""
        d, patch, cells = self.config.width, self.config.patch, micro.cells
        tokens = cells / patch**2
        places = micro.rows * micro.columns / patch**2
        block = 2 * tokens * 12 * d * d + 4 * tokens * (places + micro.frames) * d / 2
        channels = self.config.level_channels
        near = sum(9 * inputs * outputs / 4**level for level, inputs, outputs in self._cubes) + 27 * channels[0]
        between = sum(8 * c * below / 4 ** (level + 1) for level, (c, below) in enumerate(pairwise(channels)))
        return self.config.depth * block + 2 * cells * (near + between) + 4 * tokens * self._token_cells * d
