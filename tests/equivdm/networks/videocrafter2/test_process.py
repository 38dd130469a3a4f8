"""The noise process in closed form, and DDIM as the authors' sampler does it."""

from itertools import accumulate, pairwise
from math import sqrt
from operator import mul

import pytest
import torch

from equivdm.networks.videocrafter2.process import STEPS, as_timesteps, weights
from equivdm.networks.videocrafter2.unet import UNet
from equivdm.objective import Diffusion
from equivdm.process import VideoCrafter2Process
from equivdm.sampling import ddim_step
from tests.equivdm.networks.videocrafter2.cases import UNET, filled, golden, numbers, sparse, unet_inputs

DIFFUSION = Diffusion(VideoCrafter2Process(), "epsilon")

EVERY = torch.arange(STEPS)


def test_weights_are_the_closed_form() -> None:
    low, high = sqrt(0.00085), sqrt(0.012)
    abar = list(accumulate((1 - (low + (high - low) * t / 999) ** 2 for t in range(1000)), mul))
    scale = [1 - 0.3 * min(t, 399) / 399 for t in range(1000)]
    signal, noise = (each.flatten() for each in weights(EVERY))
    torch.testing.assert_close(signal, torch.tensor([sqrt(a) * c for a, c in zip(abar, scale, strict=True)]))
    torch.testing.assert_close(noise, torch.tensor([sqrt(1 - a) for a in abar]))
    assert signal[0].item() == pytest.approx(sqrt(1 - 0.00085))


def test_signal_falls_and_noise_rises() -> None:
    signal, noise = (each.flatten() for each in weights(EVERY))
    assert (signal.diff() < 0).all()
    assert (noise.diff() > 0).all()


def test_times_are_levels() -> None:
    assert torch.equal(as_timesteps(EVERY / STEPS), EVERY)
    assert as_timesteps(torch.tensor([0.0004, 0.5004, 0.9996, 1.0])).tolist() == [0, 500, 999, 999]


def test_noisy_latents_are_the_authors() -> None:
    x, timesteps, *_ = unet_inputs()
    noisy = DIFFUSION.add_noise(x, numbers("eps", *x.shape), timesteps / STEPS)
    torch.testing.assert_close(sparse(noisy), golden("noisy"), rtol=1e-5, atol=1e-6)


def test_half_precision_is_computed_in_float32() -> None:
    x0 = numbers("x0", 1, 4, 1, 4, 4).bfloat16()
    assert DIFFUSION.add_noise(x0, x0, torch.tensor([0.003])).dtype == torch.float32


def test_ddim_gives_what_the_authors_sampler_gives() -> None:
    """Theirs asks at 1 + 200 k and stops at t = 0, where 0.03 of the noise is left."""
    unet = filled(UNet(UNET)).requires_grad_(False)
    x, _, text, fps = unet_inputs()
    for t, t_next in pairwise((801, 601, 401, 201, 1, 0)):
        x = ddim_step(x, unet(x, torch.full((2,), t), text, fps), t / STEPS, t_next / STEPS, DIFFUSION)
    torch.testing.assert_close(sparse(x), golden("ddim"), rtol=1e-3, atol=1e-4)
