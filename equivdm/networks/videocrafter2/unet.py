"""The UNet: it predicts the noise in latent videos."""

from math import log

import torch
from einops import rearrange
from jaxtyping import Float, Num
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from equivdm.networks.videocrafter2.attention import (
    Context,
    PointConvolution,
    SpatialTransformer,
    TemporalTransformer,
)
from equivdm.networks.videocrafter2.blocks import Downsample, ResidualBlock, Stage
from equivdm.networks.videocrafter2.parts import Maps, NewMaps, Upsample, convolution, normalisation, zeroed
from equivdm.networks.videocrafter2.sizes import UNetSizes
from equivdm.types import Latents

_FIRST_HEADS = 8
"""Heads of the attention over time that comes before all blocks."""

_SLOWEST = 10_000
"""Longest wavelength of the embedded numbers, over 2 pi."""


class UNet(nn.Module):
    """eps_theta(x_t, t, text, fps). Any number of frames; rows and columns in multiples of `sizes.stride`."""

    def __init__(self, sizes: UNetSizes, checkpointing: bool = False) -> None:
        """Build the network with fresh weights from torch's global generator; a new one predicts 0.

        Args:
            sizes: of its layers.
            checkpointing: keep the outputs of stages only and compute the rest again in the backward pass: less
                memory, more time, the same gradients.
        """
        super().__init__()
        self.sizes, self.checkpointing = sizes, checkpointing
        self.time_embed, self.fps_embedding = _embedding(sizes.width), _embedding(sizes.width)
        self.init_attn = Stage([TemporalTransformer(sizes.width, _FIRST_HEADS, sizes.head_width, PointConvolution)])
        self.input_blocks, skips = _descent(sizes)
        self.middle_block = _middle(sizes)
        self.output_blocks = _ascent(sizes, skips)
        self.out = nn.Sequential(
            normalisation(sizes.widths[0], eps=1e-5), nn.SiLU(), zeroed(convolution(sizes.widths[0], sizes.latents))
        )

    def forward(
        self,
        latents: Latents,
        timesteps: Num[Tensor, " batch"],
        text: Float[Tensor, "batch words text_width"],
        fps: Num[Tensor, " batch"],
    ) -> Latents:
        """Return the noise in x_t = `latents`, in their precision; inside, all is in the precision of the weights.

        Args:
            latents: x_t, scaled as the autoencoder scales them.
            timesteps: t of the noise process, 0 to 999.
            text: penultimate layer of OpenCLIP ViT-H/14, after its last normalisation; 77 words.
            fps: frames a second of the videos.

        Raises:
            ValueError: where channels, rows, columns or the text's width do not fit the network.
        """
        self._check(latents, text)
        dtype = next(self.parameters()).dtype
        clock = self.time_embed(self._waves(timesteps)) + self.fps_embedding(self._waves(fps))
        context = Context(clock, text.to(dtype), latents.shape[2])
        x = rearrange(latents, "b c t h w -> (b t) c h w").to(dtype)
        x = self._run(self.init_attn, self._run(self.input_blocks[0], x, context), context)
        skips = [x]
        for stage in self.input_blocks[1:]:
            x = self._run(stage, x, context)
            skips.append(x)
        x = self._run(self.middle_block, x, context)
        for stage in self.output_blocks:
            x = self._run(stage, torch.cat([x, skips.pop()], 1), context)
        return rearrange(self.out(x), "(b t) c h w -> b c t h w", b=len(latents)).to(latents.dtype)

    def _waves(self, numbers: Num[Tensor, " batch"]) -> Float[Tensor, "batch width"]:
        """Cosines, then sines, of each number at wavelengths from 2 pi to 2 pi `_SLOWEST`."""
        half = self.sizes.width // 2
        steps = torch.arange(half, device=numbers.device, dtype=torch.float32)
        angles = numbers.float()[:, None] * torch.exp(-log(_SLOWEST) * steps / half)
        return torch.cat([angles.cos(), angles.sin()], 1).to(next(self.parameters()).dtype)

    def _run(self, stage: nn.Module, x: Maps, context: Context) -> NewMaps:
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(stage, x, context, use_reentrant=False)
        return stage(x, context)

    def _check(self, latents: Latents, text: Float[Tensor, "batch words text_width"]) -> None:
        channels, _, rows, columns = latents.shape[1:]
        stride = self.sizes.stride
        if channels != self.sizes.latents or rows % stride or columns % stride:
            raise ValueError(
                f"got latents of {channels} channels, {rows}x{columns}, wanted {self.sizes.latents} channels, rows and "
                f"columns in multiples of {stride}: change the size of the clips"
            )
        if text.shape[2] != self.sizes.text_width:
            raise ValueError(
                f"got text of {text.shape[2]} channels, wanted {self.sizes.text_width}: use the network's own encoder"
            )


def _descent(sizes: UNetSizes) -> tuple[nn.ModuleList, list[int]]:
    """Return the stages from fine to coarse, and the channels that each hands to the way up."""
    stages, skips = nn.ModuleList([Stage([convolution(sizes.latents, sizes.width)])]), [sizes.width]
    for level, width in enumerate(sizes.widths):
        for _ in range(sizes.blocks):
            stages.append(Stage(_layers(sizes, level, skips[-1])))
            skips.append(width)
        if level + 1 < len(sizes.widths):
            stages.append(Stage([Downsample(width)]))
            skips.append(width)
    return stages, skips


def _middle(sizes: UNetSizes) -> Stage:
    width = sizes.widths[-1]
    blocks = [ResidualBlock(width, width, 4 * sizes.width) for _ in range(2)]
    return Stage([blocks[0], *_attention(sizes, width), blocks[1]])


def _ascent(sizes: UNetSizes, skips: list[int]) -> nn.ModuleList:
    """Return the stages from coarse to fine; each sees its input beside what the way down kept."""
    stages, inputs, left = nn.ModuleList(), sizes.widths[-1], list(skips)
    for level in reversed(range(len(sizes.widths))):
        for block in range(sizes.blocks + 1):
            layers = _layers(sizes, level, inputs + left.pop())
            inputs = sizes.widths[level]
            if level and block == sizes.blocks:
                layers.append(Upsample(inputs))
            stages.append(Stage(layers))
    return stages


def _layers(sizes: UNetSizes, level: int, inputs: int) -> list[nn.Module]:
    width = sizes.widths[level]
    block = ResidualBlock(inputs, width, 4 * sizes.width)
    return [block, *_attention(sizes, width)] if level < sizes.attending else [block]


def _attention(sizes: UNetSizes, width: int) -> list[nn.Module]:
    over_time = TemporalTransformer(width, width // sizes.head_width, sizes.head_width)
    return [SpatialTransformer(sizes, width), over_time]


def _embedding(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width))
