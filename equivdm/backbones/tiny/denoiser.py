"""A small video transformer in a convolutional U.

Any number of frames and any grid that the patch divides will do.
"""

from itertools import pairwise
from math import log
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from equivdm.backbones.base import (
    WEIGHTS,
    Conditions,
    Control,
    DenoiserModule,
    Features,
    control_as_float,
    per_sample,
)
from equivdm.backbones.tiny.attention import Block, modulate, rotary_angles
from equivdm.backbones.tiny.backbone import GEOMETRY
from equivdm.backbones.tiny.layers import Context, Level, Maps, channels_last, convolution, film, zero
from equivdm.backbones.tiny.prior import linear_guess
from equivdm.config import TinyConfig
from equivdm.footprint import seen_blocks
from equivdm.networks.deferred import as_readers
from equivdm.text import VOCABULARY
from equivdm.types import Latents, Times, Tokens


class TinyDenoiser(DenoiserModule):
    """A convolutional U around a transformer; caption and time scale and shift all of it (adaLN-zero, FiLM).

    The convolutions carry what is local (the noise, and so the motion that it is locked to); the transformer sees
    large patches only, which makes it cheap: a step costs a fraction of that of a plain transformer on fine patches.
    """

    def __init__(self, config: TinyConfig) -> None:
        """Build the network with fresh weights from torch's global generator."""
        super().__init__()
        width, self.patch, self.heads = config.width, config.patch, config.heads
        self.control_channels = config.control_channels
        self.channels = config.level_channels
        fine, coarse = self.channels[0], self.channels[-1]
        # x_t, what a linear denoiser makes of it, the dense condition, and the time.
        planes = 2 * GEOMETRY.channels + config.control_channels * GEOMETRY.space_stride**2 + 1
        # Of the way in at the finest level, and of each level's way out, coarsest first.
        self.modulations = [2 * channels for channels in (fine, *reversed(self.channels))]
        self.side = config.patch >> (config.levels - 1)
        cells = coarse * self.side**2
        sizes = zip((planes, *self.channels[1:]), self.channels, (*self.channels[1:], None), strict=True)
        self.levels = nn.ModuleList(Level(*each) for each in sizes)
        self.embed, self.unembed = nn.Linear(cells, width), nn.Linear(width, cells)
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.words = nn.Embedding(VOCABULARY, width, padding_idx=0)
        self.blocks = nn.ModuleList(Block(width, config.heads) for _ in range(config.depth))
        self.modulation = zero(nn.Linear(width, 2 * width))
        self.film = zero(nn.Linear(width, sum(self.modulations)))
        self.out = zero(convolution(fine, GEOMETRY.channels))
        # Channels last is what convolutions on a CPU are fastest with.
        nn.utils.convert_conv2d_weight_memory_format(self, torch.channels_last)

    @property
    def feature_layers(self) -> dict[str, int]:
        """Blocks of the transformer."""
        return {f"blocks.{number}": self.words.embedding_dim for number in seen_blocks(len(self.blocks))}

    def as_features(self, output: Tensor, batch: int) -> Features:
        """Return a block's tokens as features."""
        return rearrange(output, "b t h w c -> b (t h w) c", b=batch)

    def forward(self, latents: Latents, times: Times, conditions: Conditions) -> Latents:
        """Return the prediction at x_t = `latents`, t = `times`, in the precision of `latents`.

        Raises ValueError where the grid is no multiple of the patch, or the dense condition has another size.
        """
        shown = self._in_channels(self._checked(latents, conditions.control))
        x_t = latents.float()
        velocity, clean, left = linear_guess(x_t, times.float())
        control = F.pixel_unshuffle(shown, GEOMETRY.space_stride)
        control = rearrange(control, "b (t c) h w -> b c t h w", t=latents.shape[2])
        clock = per_sample(times.float()).expand_as(x_t[:, :1])
        planes = torch.cat([_unit_variance(x_t, times.float()), clean, control, clock], 1).to(self.out.weight.dtype)
        correction = self._network(planes, self._context(times, conditions.text))
        return (velocity + left * correction.float()).to(latents.dtype)

    def _network(
        self, planes: Float[Tensor, "batch planes time height width"], context: Context
    ) -> Float[Tensor, "batch 3 time height width"]:
        batch, _, frames, _, _ = planes.shape
        levels = cast(list[Level], list(self.levels))
        modulation = self.film(context).repeat_interleave(frames, 0)[..., None, None]
        inward, *outward = modulation.split(self.modulations, 1)
        x = channels_last(rearrange(planes, "b c t h w -> (b t) c h w"))
        kept = [film(levels[0].inward(x), inward)]
        for above, level in pairwise(levels):
            kept.append(F.silu(level.inward(F.silu(above.down(kept[-1])))))
        x = levels[-1].leave(self._transform(kept[-1], context), kept[-1], outward[0])
        for above, skipped, each in zip(levels[-2::-1], kept[-2::-1], outward[1:], strict=True):
            x = above.leave(F.pixel_shuffle(above.up(x), 2), skipped, each)
        return rearrange(self.out(x), "(b t) c h w -> b c t h w", b=batch)

    def _transform(self, coarse: Maps, context: Context) -> Maps:
        """Tokens of patches, the blocks, and back."""
        side = self.side
        x = rearrange(coarse, "(b t) c (h p) (w q) -> b t h w (p q c)", b=context.shape[0], p=side, q=side)
        x = self.embed(x)
        rotary = rotary_angles(x, self.heads)
        for block in self.blocks:
            if self.recompute and torch.is_grad_enabled():
                x = checkpoint(block, x, context, rotary, use_reentrant=False, preserve_rng_state=False)
            else:
                x = block(x, context, rotary)
        scale, shift = self.modulation(context).chunk(2, dim=-1)
        x = self.unembed(modulate(x, scale, shift))
        return rearrange(x, "b t h w (p q c) -> (b t) c (h p) (w q)", p=side, q=side)

    def _context(self, times: Times, tokens: Tokens) -> Context:
        """Time embedding plus the mean of the caption's words."""
        count = (tokens > 0).sum(1, keepdim=True).clamp_min(1)
        caption = self.words(tokens).sum(1) / count
        waves = _waves(1000 * times.float(), self.words.embedding_dim)
        return F.silu(self.time(waves.to(caption.dtype)) + caption)

    def _checked(self, latents: Latents, control: Control | None) -> Control:
        rows, columns = latents.shape[-2:]
        GEOMETRY.check_patch(rows, columns, self.patch)
        stride, frames = GEOMETRY.space_stride, latents.shape[2]
        if control is None or control.shape[1:4] != (frames, rows * stride, columns * stride):
            got = "none" if control is None else tuple(control.shape[1:4])
            raise ValueError(
                f"got a dense condition of {got} (frames, height, width), "
                f"wanted {(frames, rows * stride, columns * stride)}: compute it from the same clip"
            )
        return control

    def _in_channels(self, control: Control) -> Float[Tensor, "batch planes rows columns"]:
        """Return the condition of all frames, the channels of each side by side."""
        values = control_as_float(control)
        if values.ndim == 4:
            return values.repeat_interleave(self.control_channels, 1)
        if self.control_channels == 1:
            raise ValueError("got a dense condition in colour, wanted grey: set backbone.control_channels=3")
        return rearrange(values, "b t h w c -> b (t c) h w")


def open_exported(config: TinyConfig, folder: Path) -> TinyDenoiser:
    """Return the network that was exported to a folder, its weights yet to be read."""
    from safetensors.torch import load_file

    with torch.device("meta"):
        denoiser = TinyDenoiser(config)
    state = load_file(folder / WEIGHTS)
    got, wanted = ({name: each.shape for name, each in of.items()} for of in (state, denoiser.state_dict()))
    if got != wanted:
        raise ValueError(f"got weights at {folder} that are not those of {config}: export them again")
    denoiser.readers = as_readers(state)
    return denoiser


def _unit_variance(x_t: Latents, times: Times) -> Latents:
    """Return x_t over its deviation, for data of variance 1."""
    t = per_sample(times)
    return x_t * ((1 - t) ** 2 + t**2).rsqrt()


def _waves(t: Times, width: int) -> Float[Tensor, "batch width"]:
    """Sines and cosines of t at wavelengths from 2 pi to 20,000 pi."""
    speed = torch.exp(-log(10_000) * torch.arange(width // 2, device=t.device) / (width // 2))
    angle = t[:, None] * speed
    return torch.cat([angle.cos(), angle.sin()], 1)
