"""The transformer's block: attention factorised over space and time, with rotary positions."""

from math import log

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from equivdm.backbones.tiny.layers import Context, zero

ROTARY_BASE = 100.0
"""Slowest rotary wavelength over 2 pi, in tokens: grids and clips here are tens of tokens long."""

Grid = Float[Tensor, "batch time rows columns channels"]
"""Tokens of a video, by frame and place."""


class Block(nn.Module):
    """Attention and MLP side by side (ViT-22B), half of the heads over space and half over time; adaLN-zero."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.parts = heads // 2, (3 * width // 2, 3 * width // 2, 4 * width)
        self.modulation = zero(nn.Linear(width, 3 * width))
        self.mix_in, self.mix_out = nn.Linear(width, sum(self.parts)), nn.Linear(5 * width, width)

    def forward(self, x: Grid, context: Context, rotary: tuple[Tensor, Tensor]) -> Grid:
        """Return the tokens after the block."""
        batch, _, rows, columns, _ = x.shape
        scale, shift, gate = self.modulation(context).chunk(3, dim=-1)
        space, time, hidden = self.mix_in(modulate(x, scale, shift)).split(self.parts, dim=-1)
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


def rotary_angles(x: Grid, heads: int) -> tuple[Float[Tensor, "places half"], Float[Tensor, "frames half"]]:
    """Rotary angles over space (half of the pairs turn with the row, half with the column) and over time."""
    _, frames, rows, columns, width = x.shape
    pairs = width // heads // 2
    row, column = torch.meshgrid(_count(rows, x), _count(columns, x), indexing="ij")
    space = torch.cat([_angles(row.flatten(), pairs // 2), _angles(column.flatten(), pairs - pairs // 2)], 1)
    return space, _angles(_count(frames, x), pairs)


def modulate(x: Grid, scale: Float[Tensor, "batch channels"], shift: Float[Tensor, "batch channels"]) -> Grid:
    """Return the normalised tokens, scaled and shifted by what the context says."""
    return torch.addcmul(_spread(shift), F.layer_norm(x, x.shape[-1:]), 1 + _spread(scale))


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


def _spread(values: Float[Tensor, "batch channels"]) -> Float[Tensor, "batch 1 1 1 channels"]:
    return rearrange(values, "b c -> b 1 1 1 c")


def _count(size: int, like: Tensor) -> Float[Tensor, " size"]:
    return torch.arange(size, device=like.device, dtype=torch.float32)
