"""TAESD's encoder, a tiny stand-in for the lossy autoencoders of latent diffusion, here of FLUX.2 (TAEF2).

github.com/madebyollin/taesd, MIT. Latents of 32 channels at an eighth of the size. Its names are those of the public
file, which numbers the layers.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from equivdm.errors import UsageError

WIDTH, POOLED, LATENTS, STRIDE = 64, 256, 32, 8
"""Channels of the layers, of the narrow part of the last ones, and of the latents; pixels of a cell's side."""

Maps = Float[Tensor, "frames channels height width"]


class TaesdEncoder(nn.Sequential):
    """RGB from 0 to 1, of sides that are multiples of STRIDE, to latents of about unit variance."""

    def __init__(self) -> None:
        """Build it with fresh weights from torch's global generator."""
        levels: list[nn.Module] = [_convolution(3, WIDTH), _Block()]
        for level in range(3):
            levels.append(nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1, bias=False))
            levels += [_Block(pooled=level == 2) for _ in range(3)]
        super().__init__(*levels, _convolution(WIDTH, LATENTS))


def load_encoder(path: str) -> TaesdEncoder:
    """Return the encoder with the weights of `taef2_encoder.pth`. Raises UsageError for another file."""
    encoder = TaesdEncoder()
    try:
        encoder.load_state_dict(torch.load(Path(path), map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, ValueError) as fault:
        first = str(fault).strip().splitlines()[0]
        raise UsageError(
            f"autoencoder: got {path} ({first}), wanted TAESD's taef2_encoder.pth: give its path"
        ) from None
    return encoder.float().requires_grad_(False).eval()


class _Block(nn.Module):
    def __init__(self, pooled: bool = False) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            _convolution(WIDTH, WIDTH), nn.ReLU(), _convolution(WIDTH, WIDTH), nn.ReLU(), _convolution(WIDTH, WIDTH)
        )
        self.pool = (
            nn.Sequential(
                nn.Conv2d(WIDTH, POOLED, 1, bias=False),
                nn.GroupNorm(4, POOLED),
                nn.ReLU(),
                nn.Conv2d(POOLED, WIDTH, 1, bias=False),
            )
            if pooled
            else None
        )

    def forward(self, x: Maps) -> Maps:
        x = x if self.pool is None else x + self.pool(x)
        return F.relu(self.conv(x) + x)


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)
