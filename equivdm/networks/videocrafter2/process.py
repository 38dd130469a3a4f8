"""The noise process: x_t = sqrt(abar_t) c_t x_0 + sqrt(1 - abar_t) eps, for t = 0 .. 999; the network predicts eps.

abar_t is that of DDPM (Ho et al. 2020) with betas whose roots rise linearly. c_t makes the signal weaker where there is
much noise; it is VideoCrafter's own. All functions compute in float32 at least: x_t of bfloat16 latents is float32.
"""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from equivdm.types import Latents

STEPS = 1000
"""Time steps of the process."""

_BETAS = (0.00085, 0.012)
"""The first and the last beta."""

_SCALES, _SCALED = (1.0, 0.7), 400
"""c_t at t = 0 and from the end of so many steps on."""

Timesteps = Int64[Tensor, " batch"]
"""t of each sample, 0 (almost clean) to 999 (almost noise)."""


def add_noise(x0: Latents, eps: Latents, timesteps: Timesteps) -> Latents:
    """x_t = sqrt(abar_t) c_t x_0 + sqrt(1 - abar_t) eps."""
    signal, noise = weights(timesteps)
    return signal * x0 + noise * eps


def clean_from_eps(x_t: Latents, eps: Latents, timesteps: Timesteps) -> Latents:
    """x_0 = (x_t - sqrt(1 - abar_t) eps) / (sqrt(abar_t) c_t)."""
    signal, noise = weights(timesteps)
    return (x_t - noise * eps) / signal


def eps_from_clean(x_t: Latents, x0: Latents, timesteps: Timesteps) -> Latents:
    """eps = (x_t - sqrt(abar_t) c_t x_0) / sqrt(1 - abar_t)."""
    signal, noise = weights(timesteps)
    return (x_t - signal * x0) / noise


def weights(timesteps: Timesteps) -> tuple[Float[Tensor, "batch 1 1 1 1"], Float[Tensor, "batch 1 1 1 1"]]:
    """Return sqrt(abar_t) c_t and sqrt(1 - abar_t), as they multiply latents, on the device of `timesteps`."""
    signal, noise = (torch.tensor(table, device=timesteps.device)[timesteps] for table in _tables())
    return signal.view(-1, 1, 1, 1, 1), noise.view(-1, 1, 1, 1, 1)


def ddim_timesteps(steps: int) -> tuple[int, ...]:
    """Return the public sampler's time steps, falling: 1 + k * 1000 / steps.

    The first lies a spacing below 1000: with few steps the path starts where x_t is not yet all noise.

    Raises:
        ValueError: where `steps` does not divide 1000, or is 1000.
    """
    if steps < 1 or steps >= STEPS or STEPS % steps:
        raise ValueError(f"steps: got {steps}, wanted a divisor of {STEPS} below it: choose one, such as 50")
    return tuple(range(STEPS - STEPS // steps + 1, 0, -(STEPS // steps)))


@torch.no_grad()
def ddim(predict: Callable[[Latents, Timesteps], Latents], noise: Latents, timesteps: Sequence[int]) -> Latents:
    """Return the latents at t = 0 of the path that starts in `noise`: DDIM (Song et al. 2021) with eta = 0.

    It adds no randomness of its own: the result is a function of the noise, which is how its motion reaches the video.

    Args:
        predict: eps_theta(x_t, t); guidance is its own business.
        noise: x at the first of the time steps.
        timesteps: where `predict` is asked, falling, 1 to 999.

    Raises:
        ValueError: where the time steps do not fall, or leave the process.
    """
    steps = [*timesteps, 0]
    if not timesteps or steps[0] >= STEPS or any(now <= then for now, then in pairwise(steps)):
        raise ValueError(f"timesteps: got {tuple(timesteps)}, wanted falling ones from 999 to 1: sort them")
    x = noise
    for now, then in pairwise(steps):
        t, t_next = (torch.full((len(noise),), step, device=noise.device) for step in (now, then))
        eps = predict(x, t)
        x = add_noise(clean_from_eps(x, eps, t), eps, t_next)
    return x


@cache
def _tables() -> tuple[Float[np.ndarray, " steps"], Float[np.ndarray, " steps"]]:
    """sqrt(abar_t) c_t and sqrt(1 - abar_t) for every t."""
    betas = np.linspace(_BETAS[0] ** 0.5, _BETAS[1] ** 0.5, STEPS) ** 2
    abar = np.cumprod(1 - betas)
    scales = np.full(STEPS, _SCALES[1])
    scales[:_SCALED] = np.linspace(*_SCALES, _SCALED)
    return (np.sqrt(abar) * scales).astype(np.float32), np.sqrt(1 - abar).astype(np.float32)
