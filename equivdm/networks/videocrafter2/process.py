"""The noise process: x_t = sqrt(abar_t) c_t x_0 + sqrt(1 - abar_t) eps, for t = 0 .. 999; the network predicts eps.

abar_t is that of DDPM (Ho et al. 2020) with betas whose roots rise linearly. c_t makes the signal weaker where there is
much noise; it is VideoCrafter's own. Weights are float32: x_t of bfloat16 latents is float32.
"""

from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from equivdm.types import Times

STEPS = 1000
"""Time steps of the process."""

_BETAS = (0.00085, 0.012)
"""The first and the last beta."""

_SCALES, _SCALED = (1.0, 0.7), 400
"""c_t at t = 0 and from the end of so many steps on."""

Timesteps = Int64[Tensor, " batch"]
"""t of each sample, 0 (almost clean) to 999 (almost noise)."""


def as_timesteps(times: Times) -> Timesteps:
    """Return the nearest level of times in [0, 1], t = k / 1000."""
    return (STEPS * times).round().long().clamp(0, STEPS - 1)


def weights(timesteps: Timesteps) -> tuple[Float[Tensor, "batch 1 1 1 1"], Float[Tensor, "batch 1 1 1 1"]]:
    """Return sqrt(abar_t) c_t and sqrt(1 - abar_t), as they multiply latents, on the device of `timesteps`."""
    signal, noise = (torch.tensor(table, device=timesteps.device)[timesteps] for table in _tables())
    return signal.view(-1, 1, 1, 1, 1), noise.view(-1, 1, 1, 1, 1)


@cache
def _tables() -> tuple[Float[np.ndarray, " steps"], Float[np.ndarray, " steps"]]:
    """sqrt(abar_t) c_t and sqrt(1 - abar_t) for every t."""
    betas = np.linspace(_BETAS[0] ** 0.5, _BETAS[1] ** 0.5, STEPS) ** 2
    abar = np.cumprod(1 - betas)
    scales = np.full(STEPS, _SCALES[1])
    scales[:_SCALED] = np.linspace(*_SCALES, _SCALED)
    return (np.sqrt(abar) * scales).astype(np.float32), np.sqrt(1 - abar).astype(np.float32)
