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
from equivdm.objective import Diffusion
from equivdm.types import Latents, Times


def generate(student: Denoiser, noise: Latents, conditions: Conditions, diffusion: Diffusion) -> Latents:
    """G(z), the x_0 that the student sees in pure noise: the same as the sampler with one step."""
    times = torch.full((noise.shape[0],), diffusion.start, device=noise.device)
    return diffusion.clean(student(noise, times, conditions), noise, times)


def posterior_mean(
    denoiser: Denoiser, x_t: Latents, times: Times, conditions: Conditions, diffusion: Diffusion
) -> Latents:
    """mu(x_t, t) = E[x_0 | x_t], the score model's belief of the clean video."""
    return diffusion.clean(denoiser(x_t, times, conditions), x_t, times)


def dm_gradient(x: Latents, mu_real: Latents, mu_fake: Latents) -> Latents:
    """grad = (mu_fake - mu_real) / mean |x - mu_real|, the mean over each sample (DMD, eqs. 7 and 8)."""
    scale = (x - mu_real).abs().mean(dim=(1, 2, 3, 4), keepdim=True)
    # Where the teacher gives back x itself there is no direction; the floor keeps 0 / 0 out.
    return (mu_fake - mu_real) / scale.clamp_min(torch.finfo(x.dtype).eps)


def student_loss(x: Latents, gradient: Latents) -> Float[Tensor, ""]:
    """L = 1/2 mse(x, sg[x - grad]), whose derivative by x is grad / numel."""
    return 0.5 * mse_loss(x, (x - gradient).detach())


def fake_loss(
    fake: Denoiser, x: Latents, eps: Latents, times: Times, conditions: Conditions, diffusion: Diffusion
) -> Float[Tensor, ""]:
    """The ordinary denoising loss on the student's videos, sg[x]."""
    return diffusion.loss(fake, x.detach(), eps, times, conditions)


def distribution_matching_loss(
    x: Latents,
    eps: Latents,
    times: Times,
    conditions: Conditions,
    teacher: Denoiser,
    fake: Denoiser,
    diffusion: Diffusion,
) -> Float[Tensor, ""]:
    """Re-noise the student's videos `x`, ask both scores, and return the student's loss.

    `eps` must have the law and the motion of what the teacher was trained on.
    """
    with torch.no_grad():
        x_t = diffusion.add_noise(x, eps, times)
        mu_real = posterior_mean(teacher, x_t, times, conditions, diffusion)
        mu_fake = posterior_mean(fake, x_t, times, conditions, diffusion)
        gradient = dm_gradient(x, mu_real, mu_fake)
    return student_loss(x, gradient)
