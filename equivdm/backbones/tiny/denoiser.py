"""A small video transformer.

Attention is factorised over space and time with rotary positions, so any number of frames and any grid that the patch
divides will do.
"""

from math import log
from pathlib import Path
from typing import TypeVar

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
from equivdm.backbones.tiny.backbone import GEOMETRY
from equivdm.config import TinyConfig
from equivdm.footprint import seen_blocks
from equivdm.networks.deferred import as_readers
from equivdm.text import VOCABULARY
from equivdm.types import Latents, Times, Tokens

ROTARY_BASE = 100.0
"""Slowest rotary wavelength over 2 pi, in tokens: grids and clips here are tens of tokens long."""

Layer = TypeVar("Layer", bound=nn.Module)

Grid = Float[Tensor, "batch time rows columns channels"]
"""Tokens of a video, by frame and place."""

Maps = Float[Tensor, "frames maps rows columns"]
"""Feature maps, the frames of all videos in a row."""

Context = Float[Tensor, "batch features"]
"""What time and caption say, one vector per sample."""


class TinyDenoiser(DenoiserModule):
    """A shallow convolutional U around a transformer; caption and time scale and shift all of it (adaLN-zero, FiLM).

    The convolutions carry what is local (the noise, and so the motion that it is locked to); the transformer sees
    large patches only, which makes it cheap: a step costs a fraction of that of a plain transformer on fine patches.
    """

    def __init__(self, config: TinyConfig) -> None:
        """Build the network with fresh weights from torch's global generator."""
        super().__init__()
        width, self.patch, self.heads = config.width, config.patch, config.heads
        self.control_channels = config.control_channels
        fine, coarse = self.channels = config.channels, 2 * config.channels
        planes = GEOMETRY.channels + config.control_channels * GEOMETRY.space_stride**2 + 1
        cells = coarse * (config.patch // 2) ** 2
        self.fine_in, self.fine_out = _convolution(planes, fine), _convolution(2 * fine, fine)
        self.down, self.up = nn.Conv2d(fine, coarse, 2, stride=2), nn.Conv2d(coarse, 4 * fine, 1)
        self.coarse_in, self.coarse_out = _convolution(coarse, coarse), _convolution(2 * coarse, coarse)
        self.embed, self.unembed = nn.Linear(cells, width), nn.Linear(width, cells)
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.words = nn.Embedding(VOCABULARY, width, padding_idx=0)
        self.blocks = nn.ModuleList(_Block(width, config.heads) for _ in range(config.depth))
        self.modulation = _zero(nn.Linear(width, 2 * width))
        self.film = _zero(nn.Linear(width, 2 * (fine + coarse + fine)))
        self.out = _zero(_convolution(fine, GEOMETRY.channels))
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
        x_t, (skip, scale) = latents.float(), _preconditioning(times.float())
        control = F.pixel_unshuffle(shown, GEOMETRY.space_stride)
        control = rearrange(control, "b (t c) h w -> b c t h w", t=latents.shape[2])
        clock = per_sample(times.float()).expand_as(x_t[:, :1])
        planes = torch.cat([scale * x_t, control, clock], 1).to(self.out.weight.dtype)
        correction = self._network(planes, self._context(times, conditions.text))
        return (skip * x_t + scale * correction.float()).to(latents.dtype)

    def _network(
        self, planes: Float[Tensor, "batch planes time height width"], context: Context
    ) -> Float[Tensor, "batch 3 time height width"]:
        batch, _, frames, _, _ = planes.shape
        film = self.film(context).repeat_interleave(frames, 0)[..., None, None]
        fine, coarse = self.channels
        inward, middle, outward = film.split([2 * fine, 2 * coarse, 2 * fine], 1)
        x = _channels_last(rearrange(planes, "b c t h w -> (b t) c h w"))
        near = _film(self.fine_in(x), inward)
        far = F.silu(self.coarse_in(F.silu(self.down(near))))
        seen = torch.cat([self._transform(far, context), far], 1)
        refined = F.pixel_shuffle(self.up(_film(self.coarse_out(_channels_last(seen)), middle)), 2)
        video = self.out(_film(self.fine_out(_channels_last(torch.cat([refined, near], 1))), outward))
        return rearrange(video, "(b t) c h w -> b c t h w", b=batch)

    def _transform(self, coarse: Maps, context: Context) -> Maps:
        """Tokens of patches, the blocks, and back."""
        side = self.patch // 2
        x = rearrange(coarse, "(b t) c (h p) (w q) -> b t h w (p q c)", b=context.shape[0], p=side, q=side)
        x = self.embed(x)
        rotary = _rotary(x, self.heads)
        for block in self.blocks:
            if self.recompute and torch.is_grad_enabled():
                x = checkpoint(block, x, context, rotary, use_reentrant=False, preserve_rng_state=False)
            else:
                x = block(x, context, rotary)
        scale, shift = self.modulation(context).chunk(2, dim=-1)
        x = self.unembed(_modulate(x, scale, shift))
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


class _Block(nn.Module):
    """Attention and MLP side by side (ViT-22B), half of the heads over space and half over time; adaLN-zero."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.parts = heads // 2, (3 * width // 2, 3 * width // 2, 4 * width)
        self.modulation = _zero(nn.Linear(width, 3 * width))
        self.mix_in, self.mix_out = nn.Linear(width, sum(self.parts)), nn.Linear(5 * width, width)

    def forward(self, x: Grid, context: Context, rotary: tuple[Tensor, Tensor]) -> Grid:
        batch, _, rows, columns, _ = x.shape
        scale, shift, gate = self.modulation(context).chunk(3, dim=-1)
        space, time, hidden = self.mix_in(_modulate(x, scale, shift)).split(self.parts, dim=-1)
        space = self._attention(rearrange(space, "b t h w c -> (b t) (h w) c"), rotary[0])
        time = self._attention(rearrange(time, "b t h w c -> (b h w) t c"), rotary[1])
        space = rearrange(space, "(b t) (h w) c -> b t h w c", b=batch, h=rows)
        time = rearrange(time, "(b h w) t c -> b t h w c", h=rows, w=columns)
        mixed = self.mix_out(torch.cat([space, time, F.gelu(hidden, approximate="tanh")], -1))
        return torch.addcmul(x, _spread(gate), mixed)

    def _attention(
        self, qkv: Float[Tensor, "sets places qkv"], angles: Float[Tensor, "places half"]
    ) -> Float[Tensor, "sets places width"]:
        query, key, value = rearrange(qkv, "n s (three heads d) -> three n heads s d", three=3, heads=self.heads)
        y = F.scaled_dot_product_attention(_rotate(query, angles), _rotate(key, angles), value)
        return rearrange(y, "n heads s d -> n s (heads d)")


def _preconditioning(t: Times) -> tuple[Float[Tensor, "batch 1 1 1 1"], Float[Tensor, "batch 1 1 1 1"]]:
    """Return (c_skip, c_in = c_out) of EDM (Karras et al. 2022) on the straight path, data of variance 1.

    c_skip x_t is the best linear guess of the velocity; c_out is the deviation of what the network has left.
    """
    t = per_sample(t)
    variance = (1 - t) ** 2 + t**2
    return (2 * t - 1) / variance, variance.rsqrt()


def _rotary(x: Grid, heads: int) -> tuple[Float[Tensor, "places half"], Float[Tensor, "frames half"]]:
    """Rotary angles over space (half of the pairs turn with the row, half with the column) and over time."""
    _, frames, rows, columns, width = x.shape
    pairs = width // heads // 2
    row, column = torch.meshgrid(_count(rows, x), _count(columns, x), indexing="ij")
    space = torch.cat([_angles(row.flatten(), pairs // 2), _angles(column.flatten(), pairs - pairs // 2)], 1)
    return space, _angles(_count(frames, x), pairs)


def _angles(position: Float[Tensor, " places"], pairs: int) -> Float[Tensor, "places pairs"]:
    speed = torch.exp(-log(ROTARY_BASE) * torch.arange(pairs, device=position.device) / pairs)
    return position[:, None] * speed


def _rotate(
    x: Float[Tensor, "sets heads places d"], angles: Float[Tensor, "places half"]
) -> Float[Tensor, "sets heads places d"]:
    """Turn each pair of channels by its angle, so that products of queries and keys know distances only."""
    cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    left, right = x.chunk(2, dim=-1)
    return torch.cat([left * cosine - right * sine, left * sine + right * cosine], -1)


def _waves(t: Times, width: int) -> Float[Tensor, "batch width"]:
    """Sines and cosines of t at wavelengths from 2 pi to 20,000 pi."""
    speed = torch.exp(-log(10_000) * torch.arange(width // 2, device=t.device) / (width // 2))
    angle = t[:, None] * speed
    return torch.cat([angle.cos(), angle.sin()], 1)


def _modulate(x: Grid, scale: Float[Tensor, "batch channels"], shift: Float[Tensor, "batch channels"]) -> Grid:
    return torch.addcmul(_spread(shift), F.layer_norm(x, x.shape[-1:]), 1 + _spread(scale))


def _spread(values: Float[Tensor, "batch channels"]) -> Float[Tensor, "batch 1 1 1 channels"]:
    return rearrange(values, "b c -> b 1 1 1 c")


def _count(size: int, like: Tensor) -> Float[Tensor, " size"]:
    return torch.arange(size, device=like.device, dtype=torch.float32)


def _zero(layer: Layer) -> Layer:
    """Return the layer with all its weights at zero: a new network begins as the linear guess."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _film(x: Maps, modulation: Float[Tensor, "frames modulations 1 1"]) -> Maps:
    """Scale and shift each channel by what the context says, then SiLU: noise must count less the nearer t is to 1."""
    scale, shift = modulation.chunk(2, dim=1)
    return F.silu(torch.addcmul(shift, x, 1 + scale))


def _channels_last(x: Maps) -> Maps:
    return x.contiguous(memory_format=torch.channels_last)
