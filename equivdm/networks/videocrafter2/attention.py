"""Attention among the places of a frame and with the text, and among the frames of a place."""

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from equivdm.networks.videocrafter2.parts import Maps, NewMaps, normalisation, zeroed
from equivdm.networks.videocrafter2.sizes import UNetSizes

Sequences = Float[Tensor, "sequences places width"]
"""What attends: the places of each frame, or the frames of each place."""

Text = Float[Tensor, "videos words text_width"]
"""Output of the text encoder."""


class Context(NamedTuple):
    """What the layers are told beside their maps."""

    clock: Float[Tensor, "videos features"]
    """Embedding of the diffusion time and the frame rate."""
    text: Text
    """Caption."""
    frames: int
    """Frames of each video."""


class ContextLayer(nn.Module):
    """A layer that looks at the context."""

    def forward(self, x: Maps, context: Context) -> NewMaps:
        """Return maps of the same rows and columns."""
        raise NotImplementedError


class PointConvolution(nn.Conv1d):
    """A linear map of the last axis, whose weights are shaped like those of a convolution over one place."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1)

    def forward(self, input: Sequences) -> Float[Tensor, "sequences places outputs"]:
        """Return the sequences in `outputs` channels."""
        return F.linear(input, self.weight[..., 0], self.bias)


class SpatialTransformer(ContextLayer):
    """Places of a frame attend to each other, and to the text."""

    def __init__(self, sizes: UNetSizes, width: int) -> None:
        super().__init__()
        self.norm = normalisation(width, eps=1e-6)
        self.proj_in = nn.Linear(width, width)
        heads = width // sizes.head_width
        self.transformer_blocks = nn.ModuleList([_TransformerBlock(width, heads, sizes.text_width)])
        self.proj_out = zeroed(nn.Linear(width, width))

    def forward(self, x: Maps, context: Context) -> Maps:
        """Return `x` and what the frames' places and the text add to it."""
        tokens = self.proj_in(rearrange(self.norm(x), "n c h w -> n (h w) c"))
        for block in self.transformer_blocks:
            tokens = block(tokens, context.text)
        return x + rearrange(self.proj_out(tokens), "n (h w) c -> n c h w", h=x.shape[2])


class TemporalTransformer(ContextLayer):
    """Frames attend to each other at each place, twice. Attention knows no order of frames; the convolutions do."""

    def __init__(
        self, width: int, heads: int, head_width: int, projection: Callable[[int, int], nn.Module] = nn.Linear
    ) -> None:
        super().__init__()
        inner = heads * head_width
        self.norm = normalisation(width, eps=1e-6)
        self.proj_in = projection(width, inner)
        self.transformer_blocks = nn.ModuleList([_TransformerBlock(inner, heads)])
        self.proj_out = zeroed(projection(inner, width))

    def forward(self, x: Maps, context: Context) -> Maps:
        """Return `x` and what the other frames add to it."""
        rows, columns = x.shape[2:]
        # Normalised over whole videos, unlike what happens within frames.
        video = self.norm(rearrange(x, "(b t) c h w -> b c t h w", t=context.frames))
        tokens = self.proj_in(rearrange(video, "b c t h w -> (b h w) t c"))
        for block in self.transformer_blocks:
            tokens = block(tokens, None)
        return x + rearrange(self.proj_out(tokens), "(b h w) t c -> (b t) c h w", h=rows, w=columns)


class _TransformerBlock(nn.Module):
    """Attention among the places, attention to the text (without one: among the places again), and an MLP."""

    def __init__(self, width: int, heads: int, text_width: int | None = None) -> None:
        super().__init__()
        self.attn1 = _Attention(width, heads, width)
        self.attn2 = _Attention(width, heads, text_width or width)
        self.ff = _FeedForward(width)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Sequences, text: Text | None) -> Sequences:
        seen = self.norm1(x)
        x = x + self.attn1(seen, seen)
        seen = self.norm2(x)
        x = x + (self.attn2(seen, seen) if text is None else self._read(seen, text))
        return x + self.ff(self.norm3(x))

    def _read(self, x: Sequences, text: Text) -> Sequences:
        """Attend to the text, all frames of a video at once: they share its keys and values."""
        videos = rearrange(x, "(b t) s c -> b (t s) c", b=text.shape[0])
        return rearrange(self.attn2(videos, text), "b (t s) c -> (b t) s c", s=x.shape[1])


class _Attention(nn.Module):
    """Scaled dot-product attention in heads (Vaswani et al. 2017)."""

    def __init__(self, width: int, heads: int, source_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(source_width, width, bias=False)
        self.to_v = nn.Linear(source_width, width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(width, width))

    def forward(self, x: Sequences, source: Float[Tensor, "sequences words source_width"]) -> Sequences:
        query, key, value = (
            rearrange(each, "n s (heads d) -> n heads s d", heads=self.heads)
            for each in (self.to_q(x), self.to_k(source), self.to_v(source))
        )
        y = F.scaled_dot_product_attention(query, key, value)
        return self.to_out(rearrange(y, "n heads s d -> n s (heads d)"))


class _FeedForward(nn.Module):
    """An MLP of four times the width, gated by GELU (GEGLU, Shazeer 2020)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        # The identity keeps the public number of the layer after it.
        self.net = nn.Sequential(_Gated(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width))

    def forward(self, x: Sequences) -> Sequences:
        return self.net(x)


class _Gated(nn.Module):
    """Half of the outputs, times GELU of the other half."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.proj = nn.Linear(inputs, 2 * outputs)

    def forward(self, x: Sequences) -> Float[Tensor, "sequences places outputs"]:
        values, gate = self.proj(x).chunk(2, dim=-1)
        return values * F.gelu(gate)
