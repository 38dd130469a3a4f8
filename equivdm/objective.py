"""Flow matching on the straight path x_t = (1 - t) x_0 + t eps: t = 0 is data, t = 1 is noise.

The paper trains with the ordinary denoising loss; what makes it EquiVDM is that eps moves with the video.
Nothing here knows which noise it is given.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from equivdm.backbones.base import Conditions, Denoiser, per_sample
from equivdm.types import Latents, Times

T_MIN, T_MAX = 0.001, 0.999
"""Range of the diffusion time in training (from FastGen, a library of the same authors; not the paper's)."""


def draw_times(batch: int, generator: torch.Generator) -> Times:
    """Return one t ~ U[T_MIN, T_MAX] per sample, on the generator's device."""
    uniform = torch.rand(batch, generator=generator, device=generator.device)
    return T_MIN + (T_MAX - T_MIN) * uniform


def interpolate(x0: Latents, eps: Latents, t: Times) -> Latents:
    """x_t = (1 - t) x_0 + t eps."""
    t = per_sample(t)
    return (1 - t) * x0 + t * eps


def velocity(x0: Latents, eps: Latents) -> Latents:
    """v = dx_t / dt = eps - x_0."""
    return eps - x0


def clean_from_velocity(x_t: Latents, v: Latents, t: Times) -> Latents:
    """x_0 = x_t - t v: the posterior mean E[x_0 | x_t] where v is the trained velocity."""
    return x_t - per_sample(t) * v


def flow_matching_loss(
    denoiser: Denoiser, x0: Latents, eps: Latents, times: Times, conditions: Conditions
) -> Float[Tensor, ""]:
    """L = E || v_theta(x_t, t) - (eps - x_0) ||^2, the mean over every element."""
    prediction = denoiser(interpolate(x0, eps, times), times, conditions)
    return torch.nn.functional.mse_loss(prediction.float(), velocity(x0, eps).float())
