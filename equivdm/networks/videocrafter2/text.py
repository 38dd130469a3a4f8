"""The text tower: OpenCLIP ViT-H/14 (Cherti et al. 2023, arXiv 2212.07143), read at its penultimate layer."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int64
from torch import Tensor, nn

from equivdm.networks.videocrafter2.sizes import TextSizes

Words = Float[Tensor, "prompts words width"]
"""A vector a word."""


class TextTower(nn.Module):
    """A transformer in which a word sees itself and those before it. Tensors have OpenCLIP's names.

    What OpenCLIP has beyond the penultimate layer (the last block, a projection, a scale) is of no use, and absent.
    """

    def __init__(self, sizes: TextSizes) -> None:
        """Build the network with fresh weights from torch's global generator."""
        super().__init__()
        self.sizes = sizes
        self.token_embedding = nn.Embedding(sizes.vocabulary, sizes.width)
        self.positional_embedding = nn.Parameter(0.01 * torch.randn(sizes.words, sizes.width))
        self.transformer = _Transformer(sizes)
        self.ln_final = nn.LayerNorm(sizes.width)

    def forward(self, tokens: Int64[Tensor, "prompts words"]) -> Words:
        """Return the normalised output of the last block but one.

        Raises ValueError where there are more or fewer words than `sizes.words`.
        """
        if tokens.shape[1] != self.sizes.words:
            raise ValueError(f"got {tokens.shape[1]} tokens a prompt, wanted {self.sizes.words}: pad or cut them")
        x = self.token_embedding(tokens) + self.positional_embedding
        for block in self.transformer.resblocks:
            x = block(x)
        return self.ln_final(x)


class _Transformer(nn.Module):
    """Blocks, under the public name."""

    def __init__(self, sizes: TextSizes) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(_Block(sizes.width, sizes.heads) for _ in range(sizes.blocks - 1))


class _Block(nn.Module):
    """Attention and an MLP, normalised before each (pre-LN)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn, self.mlp = _Attention(width, heads), _Mlp(width)

    def forward(self, x: Words) -> Words:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class _Attention(nn.Module):
    """Causal attention; query, key and value share one matrix."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.randn(3 * width, width) / width**0.5)
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Words) -> Words:
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        query, key, value = rearrange(qkv, "n s (three heads d) -> three n heads s d", three=3, heads=self.heads)
        y = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.out_proj(rearrange(y, "n heads s d -> n s (heads d)"))


class _Mlp(nn.Module):
    """Two layers, with GELU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc, self.c_proj = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Words) -> Words:
        return self.c_proj(F.gelu(self.c_fc(x)))
