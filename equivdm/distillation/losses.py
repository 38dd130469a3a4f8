"""The losses of distillation, one function an equation: pure functions of tensors, and of a network if they train it.

x is a video of the student, x_t the same re-noised, and mu(x_t, t) = E[x_0 | x_t] what a score believes of it.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import mse_loss, softplus

from equivdm.backbones.base import Conditions, Denoiser
from equivdm.objective import Diffusion
from equivdm.types import Latents, Times

Loss = Float[Tensor, ""]

Logits = Float[Tensor, "batch places"]
"""What a head says of each place of a video: above 0 that it is real."""


def dm_gradient(x: Latents, mu_real: Latents, mu_fake: Latents) -> Latents:
    """grad = (mu_fake - mu_real) / mean |x - mu_real|, the mean over each sample (DMD, eqs. 7 and 8)."""
    scale = (x - mu_real).abs().mean(dim=(1, 2, 3, 4), keepdim=True)
    # Where the teacher gives back x itself there is no direction; the floor keeps 0 / 0 out.
    return (mu_fake - mu_real) / scale.clamp_min(torch.finfo(x.dtype).eps)


def student_loss(x: Latents, gradient: Latents) -> Loss:
    """L = 1/2 mse(x, sg[x - grad]), whose derivative by x is grad / numel."""
    return 0.5 * mse_loss(x, (x - gradient).detach())


def matching_loss(x: Latents, x_t: Latents, times: Times, real: Latents, fake: Latents, diffusion: Diffusion) -> Loss:
    """`student_loss` of the `dm_gradient` between two scores.

    Args:
        x: the student's videos.
        x_t: `x` re-noised, by noise of the law and the motion of what the teacher was trained on.
        times: t.
        real: the teacher's prediction at x_t.
        fake: the fake score's.
        diffusion: of both.
    """
    with torch.no_grad():
        mu_real, mu_fake = (diffusion.clean(prediction, x_t, times) for prediction in (real, fake))
        gradient = dm_gradient(x, mu_real, mu_fake)
    return student_loss(x, gradient)


def fake_loss(
    fake: Denoiser, x: Latents, eps: Latents, times: Times, conditions: Conditions, diffusion: Diffusion
) -> Loss:
    """The ordinary denoising loss on the student's videos, sg[x]."""
    return diffusion.loss(fake, x.detach(), eps, times, conditions)


def generator_loss(fake: Logits) -> Loss:
    """L = E softplus(-D(x_t)), the non-saturating loss of a generator (Goodfellow et al. 2014; DMD2, eq. 4)."""
    return softplus(-fake.float()).mean()


def head_loss(real: Logits, fake: Logits) -> Loss:
    """L = E softplus(-D(real)) + E softplus(D(fake)): of two equal laws the best head says 0, and has 2 log 2."""
    return softplus(-real.float()).mean() + softplus(fake.float()).mean()


def regression_loss(x: Latents, target: Latents) -> Loss:
    """L = mse(G(z), ODE(z)): the student's video against what the teacher's ODE makes of the same noise (DMD, eq. 9).

    In latents, where DMD has LPIPS on pixels.
    """
    return mse_loss(x.float(), target.float().detach())


def passed_on(loss: Loss, x: Latents, gradient: Latents) -> Loss:
    """A term of the value of `loss` whose derivative by x is `gradient`.

    It hands a gradient, taken through networks that are not trained meanwhile, on to what made x: the chain rule.
    """
    return loss.detach() + ((x - x.detach()) * gradient.detach()).sum()
