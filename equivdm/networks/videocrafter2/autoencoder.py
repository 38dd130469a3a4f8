"""The autoencoder: pixels to latents and back, frame by frame (Rombach et al. 2022, "Latent Diffusion", KL form)."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from equivdm.networks.videocrafter2.parts import Maps, NewMaps, Upsample, convolution, normalisation
from equivdm.networks.videocrafter2.sizes import AutoencoderSizes
from equivdm.types import Latents

SCALE = 0.18215
"""Latents are the encoder's output times it, which makes their variance about 1."""

_EPS = 1e-6
"""Added to the variance by the normalisations of the autoencoder."""

_LOG_VARIANCE = (-30.0, 20.0)
"""Range that the encoder's logarithm of the variance is kept in."""

Pixels = Float[Tensor, "batch 3 time pixel_rows pixel_columns"]
"""A batch of RGB videos, -1 to 1."""


class Autoencoder(nn.Module):
    """Encodes and decodes one frame after another: without gradients, long videos take little more memory.

    Results are in the precision of what is given; inside, all is in the precision of the weights.
    """

    def __init__(self, sizes: AutoencoderSizes) -> None:
        """Build both halves with fresh weights from torch's global generator."""
        super().__init__()
        self.sizes, latents = sizes, sizes.latents
        self.encoder, self.decoder = _Encoder(sizes), _Decoder(sizes)
        self.quant_conv = nn.Conv2d(2 * latents, 2 * latents, 1)
        self.post_quant_conv = nn.Conv2d(latents, latents, 1)

    def encode(self, video: Pixels, noise: Latents | None = None) -> Latents:
        """Return the scaled latents: the mean of the posterior, or a draw from it where unit `noise` is given.

        Raises:
            ValueError: where the sides are no multiples of `sizes.stride` pixels.
        """
        rows, columns = video.shape[-2:]
        if rows % self.sizes.stride or columns % self.sizes.stride:
            raise ValueError(
                f"got a video of {rows}x{columns} pixels, wanted multiples of {self.sizes.stride}: change the size"
            )
        frames = video.to(self.quant_conv.weight.dtype).unbind(2)
        moments = torch.stack([self.quant_conv(self.encoder(frame)) for frame in frames], 2)
        mean, log_variance = moments.to(video.dtype).chunk(2, dim=1)
        if noise is None:
            return SCALE * mean
        return SCALE * (mean + torch.exp(log_variance.clamp(*_LOG_VARIANCE) / 2) * noise)

    def decode(self, latents: Latents) -> Pixels:
        """Return the video of scaled latents, about -1 to 1: it is not clipped."""
        frames = (latents / SCALE).to(self.post_quant_conv.weight.dtype).unbind(2)
        return torch.stack([self.decoder(self.post_quant_conv(frame)) for frame in frames], 2).to(latents.dtype)


class _Encoder(nn.Module):
    def __init__(self, sizes: AutoencoderSizes) -> None:
        super().__init__()
        widths = sizes.widths
        self.conv_in = convolution(3, sizes.width)
        self.down = nn.ModuleList(
            _Down(inputs, width, sizes.blocks, last=level + 1 == len(widths))
            for level, (inputs, width) in enumerate(zip((sizes.width, *widths), widths, strict=False))
        )
        self.mid = _Middle(widths[-1])
        self.norm_out = normalisation(widths[-1], _EPS)
        self.conv_out = convolution(widths[-1], 2 * sizes.latents)

    def forward(self, frame: Float[Tensor, "batch 3 rows columns"]) -> Float[Tensor, "batch moments cells more_cells"]:
        x = self.conv_in(frame)
        for level in self.down:
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(self.mid(x))))


class _Decoder(nn.Module):
    def __init__(self, sizes: AutoencoderSizes) -> None:
        super().__init__()
        widths = sizes.widths
        self.conv_in = convolution(sizes.latents, widths[-1])
        self.mid = _Middle(widths[-1])
        # Numbered from fine to coarse, run from coarse to fine.
        self.up = nn.ModuleList(
            _Up(inputs, width, sizes.blocks + 1, last=level == 0)
            for level, (inputs, width) in enumerate(zip((*widths[1:], widths[-1]), widths, strict=True))
        )
        self.norm_out = normalisation(widths[0], _EPS)
        self.conv_out = convolution(widths[0], 3)

    def forward(self, cells: Float[Tensor, "batch latents cells more_cells"]) -> Float[Tensor, "batch 3 rows columns"]:
        x = self.mid(self.conv_in(cells))
        for level in reversed(self.up):
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class _Level(nn.Module):
    """Residual blocks of one size."""

    def __init__(self, inputs: int, width: int, blocks: int) -> None:
        super().__init__()
        self.block = nn.ModuleList(_ResidualBlock(inputs if k == 0 else width, width) for k in range(blocks))

    def forward(self, x: Maps) -> NewMaps:
        for block in self.block:
            x = block(x)
        return x


class _Down(_Level):
    """Residual blocks, then half the size, but for the last level."""

    def __init__(self, inputs: int, width: int, blocks: int, last: bool) -> None:
        super().__init__(inputs, width, blocks)
        self.downsample = nn.Identity() if last else _Downsample(width)

    def forward(self, x: Maps) -> NewMaps:
        return self.downsample(super().forward(x))


class _Up(_Level):
    """Residual blocks, then twice the size, but for the last level."""

    def __init__(self, inputs: int, width: int, blocks: int, last: bool) -> None:
        super().__init__(inputs, width, blocks)
        self.upsample = nn.Identity() if last else Upsample(width)

    def forward(self, x: Maps) -> NewMaps:
        return self.upsample(super().forward(x))


class _Middle(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.block_1, self.block_2 = _ResidualBlock(width, width), _ResidualBlock(width, width)
        self.attn_1 = _Attention(width)

    def forward(self, x: Maps) -> Maps:
        return self.block_2(self.attn_1(self.block_1(x)))


class _ResidualBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = normalisation(inputs, _EPS), convolution(inputs, outputs)
        self.norm2, self.conv2 = normalisation(outputs, _EPS), convolution(outputs, outputs)
        self.nin_shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Maps) -> NewMaps:
        inner = self.conv1(F.silu(self.norm1(x)))
        return self.nin_shortcut(x) + self.conv2(F.silu(self.norm2(inner)))


class _Attention(nn.Module):
    """Attention among all places of a frame, in one head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = normalisation(width, _EPS)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(width, width, 1) for _ in range(4))

    def forward(self, x: Maps) -> Maps:
        seen = self.norm(x)
        query, key, value = (rearrange(each(seen), "n c h w -> n (h w) c") for each in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(query, key, value)
        return x + self.proj_out(rearrange(y, "n (h w) c -> n c h w", h=x.shape[2]))


class _Downsample(nn.Module):
    """Half of the rows and columns; the border is to the right and below only."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, x: Maps) -> NewMaps:
        return self.conv(F.pad(x, (0, 1, 0, 1)))
