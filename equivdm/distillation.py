"""Distribution matching distillation to one step (DMD and DMD2, Yin et al. 2024): pure functions of tensors.

The student G maps noise to a video in one step. A fake score, trained on the student's own videos, stands
beside the frozen teacher (the real score); their difference at a re-noised video is where the
student is wrong. With EquiVDM every noise is a fresh draw along the clip's motion: the teacher saw no other.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import mse_loss

from equivdm.backbones.base import Conditions, Denoiser
from equivdm.objective import clean_from_velocity, flow_matching_loss, interpolate
from equivdm.types import Latents, Times

ONE_STEP_TIME = 1.0
"""Diffusion time of the student's input: pure noise, as the first step of the sampler."""


def generate(student: Denoiser, noise: Latents, conditions: Conditions) -> Latents:
    """G(z) = z - v_student(z, 1): the same as one Euler step of the sampler."""
    times = torch.full((noise.shape[0],), ONE_STEP_TIME, device=noise.device)
    return clean_from_velocity(noise, student(noise, times, conditions), times)


def renoise(x: Latents, eps: Latents, times: Times) -> Latents:
    """x_t of a student's video, with `eps` of the same law and motion as the teacher was trained on."""
    return interpolate(x, eps, times)


def posterior_mean(denoiser: Denoiser, x_t: Latents, times: Times, conditions: Conditions) -> Latents:
    """mu(x_t, t) = x_t - t v(x_t, t), the score model's belief of the clean video."""
    return clean_from_velocity(x_t, denoiser(x_t, times, conditions), times)


def dm_gradient(x: Latents, mu_real: Latents, mu_fake: Latents) -> Latents:
    """grad = (mu_fake - mu_real) / mean |x - mu_real|, the mean over each sample (DMD, eqs. 7 and 8)."""
    scale = (x - mu_real).abs().mean(dim=(1, 2, 3, 4), keepdim=True)
    # Where the teacher gives back x itself there is no direction; the floor keeps 0 / 0 out.
    return (mu_fake - mu_real) / scale.clamp_min(torch.finfo(x.dtype).eps)


def student_loss(x: Latents, gradient: Latents) -> Float[Tensor, ""]:
    """L = 1/2 mse(x, sg[x - grad]), whose derivative by x is grad / numel."""
    return 0.5 * mse_loss(x, (x - gradient).detach())


def fake_loss(fake: Denoiser, x: Latents, eps: Latents, times: Times, conditions: Conditions) -> Float[Tensor, ""]:
    """The ordinary denoising loss on the student's videos, sg[x]."""
    return flow_matching_loss(fake, x.detach(), eps, times, conditions)


def distribution_matching_loss(
    x: Latents, eps: Latents, times: Times, conditions: Conditions, teacher: Denoiser, fake: Denoiser
) -> Float[Tensor, ""]:
    """Re-noise the student's videos `x`, ask both scores, and return the student's loss."""
    with torch.no_grad():
        x_t = renoise(x, eps, times)
        mu_real = posterior_mean(teacher, x_t, times, conditions)
        mu_fake = posterior_mean(fake, x_t, times, conditions)
        gradient = dm_gradient(x, mu_real, mu_fake)
    return student_loss(x, gradient)
