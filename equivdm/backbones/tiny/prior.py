"""What a linear denoiser would say: the part of the velocity that the network need not learn."""

from contextlib import AbstractContextManager, nullcontext
from math import pi

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor

from equivdm.backbones.base import per_sample
from equivdm.types import Latents, Times

COLOURS = ((1, 1, 1), (1, 0, -1), (1, -2, 1))
"""Directions along which the colours of pictures hardly depend on each other: grey, red to blue, green to purple."""

POWER, EXPONENT, CORNER = (45.0, 10.0, 3.0), 2.3, 0.28 / 32
"""S(f) = POWER ((32 f)^2 + (32 CORNER)^2)^(-EXPONENT / 2) of these, f in cycles a latent cell.

Power spectra of pictures fall by about the square of the frequency (Field 1987, doi 10.1364/JOSAA.4.002379). The
figures are round ones near the mean spectra of generated scenes and of photographs, both as latents of 32 x 32.
"""

Spread = Float[Tensor, "batch 1 1 1 1"]
"""One value per sample."""


def linear_guess(x_t: Latents, times: Times) -> tuple[Latents, Latents, Spread]:
    """Return the best linear guesses of the velocity and of x_0, and the deviation of what is left of the velocity.

    On the straight path, for data of power S in some orthonormal basis and white noise, those of a coefficient y are
    (t - (1 - t) S) y / P and (1 - t) S y / P, with P = (1 - t)^2 S + t^2: Wiener's filter. What is left has the
    variance S / P. With S = 1 these are c_skip and c_out of EDM (Karras et al. 2022). Here the basis is the cosines of
    each frame and S(f) that of pictures, so that what is coarse is right from the first step of training on.
    """
    with _exact(x_t.device.type):
        return _filtered(x_t, per_sample(times))


def _exact(device_type: str) -> AbstractContextManager[object]:
    """Leave mixed precision, on devices that have it (`meta` has none): what the network goes on from is exact."""
    has_mixed = torch.amp.is_autocast_available(device_type)
    return torch.autocast(device_type, enabled=False) if has_mixed else nullcontext()


def _filtered(x_t: Latents, t: Spread) -> tuple[Latents, Latents, Spread]:
    rows, columns = x_t.shape[-2:]
    bases = _colours(x_t.device), _cosines(rows, x_t.device), _cosines(columns, x_t.device)
    power = _power(rows, columns, x_t.device)
    total = (1 - t) ** 2 * power + t**2
    y = einsum(x_t, *bases, "b c t h w, k c, u h, v w -> b k t u v")

    def back(coefficients: Latents) -> Latents:
        return einsum(coefficients, *bases, "b k t u v, k c, u h, v w -> b c t h w")

    left = (power / total).mean((1, 2, 3, 4), keepdim=True).sqrt()
    return back((t - (1 - t) * power) / total * y), back((1 - t) * power / total * y), left


def _power(rows: int, columns: int, device: torch.device) -> Float[Tensor, "3 1 rows columns"]:
    """S at each pair of cosines of a frame."""
    down, across = (torch.arange(size, device=device) / (2 * size) for size in (rows, columns))
    squared = 32**2 * (down[:, None] ** 2 + across**2 + CORNER**2)
    return rearrange(torch.tensor(POWER, device=device), "k -> k 1 1 1") * squared ** (-EXPONENT / 2)


def _cosines(size: int, device: torch.device) -> Float[Tensor, "size size"]:
    """The orthonormal cosine transform (DCT-II), one basis vector a row: frames end in mirrors, not in jumps."""
    place, number = torch.arange(size, device=device) + 0.5, torch.arange(size, device=device)[:, None]
    basis = torch.cos(pi / size * number * place) * (2 / size) ** 0.5
    basis[0] /= 2**0.5
    return basis


def _colours(device: torch.device) -> Float[Tensor, "3 3"]:
    colours = torch.tensor(COLOURS, dtype=torch.float32, device=device)
    return colours / colours.norm(dim=1, keepdim=True)
