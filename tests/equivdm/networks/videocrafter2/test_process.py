"""The noise process in closed form, its inverses, and DDIM on data whose posterior mean is known."""

from itertools import accumulate
from math import sqrt
from operator import mul

import pytest
import torch

from equivdm.networks.videocrafter2.process import (
    STEPS,
    Timesteps,
    add_noise,
    clean_from_eps,
    ddim,
    ddim_timesteps,
    eps_from_clean,
    weights,
)
from equivdm.networks.videocrafter2.unet import UNet
from equivdm.types import Latents
from tests.equivdm.networks.videocrafter2.cases import UNET, filled, golden, numbers, sparse, unet_inputs

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


def test_noisy_latents_are_the_authors() -> None:
    x, timesteps, *_ = unet_inputs()
    noisy = add_noise(x, numbers("eps", *x.shape), timesteps)
    torch.testing.assert_close(sparse(noisy), golden("noisy"), rtol=1e-5, atol=1e-6)


def test_noise_and_clean_latents_tell_each_other() -> None:
    timesteps = torch.tensor([0, 1, 399, 400, 999])
    x0, eps = numbers("x0", 5, 4, 2, 4, 4), numbers("eps", 5, 4, 2, 4, 4)
    x_t = add_noise(x0, eps, timesteps)
    torch.testing.assert_close(clean_from_eps(x_t, eps, timesteps), x0, atol=1e-4, rtol=0)
    torch.testing.assert_close(eps_from_clean(x_t, x0, timesteps), eps, atol=1e-4, rtol=0)


def test_half_precision_is_computed_in_float32() -> None:
    x0 = numbers("x0", 1, 4, 1, 4, 4).bfloat16()
    assert add_noise(x0, x0, torch.tensor([3])).dtype == torch.float32


@pytest.mark.parametrize(("steps", "first", "last"), [(50, 981, 1), (4, 751, 1), (1, 1, 1), (500, 999, 1)])
def test_the_public_sampler_s_time_steps(steps: int, first: int, last: int) -> None:
    timesteps = ddim_timesteps(steps)
    assert (len(timesteps), timesteps[0], timesteps[-1]) == (steps, first, last)


@pytest.mark.parametrize("steps", [0, -5, 3, 1000, 2000])
def test_steps_that_do_not_divide_the_process_are_refused(steps: int) -> None:
    with pytest.raises(ValueError, match=rf"^steps: got {steps}, wanted a divisor of 1000 below it: "):
        ddim_timesteps(steps)


@pytest.mark.parametrize("timesteps", [(), (1, 2), (5, 5), (1000, 1), (3, 0)])
def test_time_steps_that_do_not_fall_are_refused(timesteps: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"^timesteps: got .*, wanted falling ones from 999 to 1: "):
        ddim(add_noise, torch.zeros(1, 4, 1, 4, 4), timesteps)


def test_ddim_gives_what_the_authors_sampler_gives() -> None:
    unet = filled(UNet(UNET))
    noise, _, text, fps = unet_inputs()

    def predict(x_t: Latents, timesteps: Timesteps) -> Latents:
        return unet(x_t, timesteps, text, fps)

    torch.testing.assert_close(sparse(ddim(predict, noise, ddim_timesteps(5))), golden("ddim"), rtol=1e-3, atol=1e-4)


def test_ddim_with_the_true_noise_finds_the_video() -> None:
    """Where eps is known exactly, every path is x_t of one pair (x_0, eps), whatever the steps."""
    x0, eps = numbers("x0", 1, 4, 2, 4, 4), numbers("eps", 1, 4, 2, 4, 4)
    start = add_noise(x0, eps, torch.tensor([900]))
    found = ddim(lambda x_t, t: eps_from_clean(x_t, x0, t), start, (900, 500, 20))
    torch.testing.assert_close(found, add_noise(x0, eps, torch.tensor([0])), atol=1e-4, rtol=0)


def test_ddim_carries_unit_noise_to_the_data_s_deviation() -> None:
    """For white data of deviation s the ODE only scales: from x at t = 999 to the deviation at t = 0."""
    deviation = 0.3

    def predict(x_t: Latents, timesteps: Timesteps) -> Latents:
        signal, noise = weights(timesteps)
        return noise * x_t / (signal**2 * deviation**2 + noise**2)  # E[eps | x_t]

    start = numbers("noise", 1, 4, 2, 8, 8)
    coarse, fine = (ddim(predict, start, range(999, 0, -step)) for step in (50, 1))
    at_start, at_end = (sqrt(s**2 * deviation**2 + n**2) for s, n in zip(*both_ends(), strict=True))
    torch.testing.assert_close(fine, start * at_end / at_start, rtol=0.01, atol=0)
    assert (coarse / start - at_end / at_start).abs().max() > (fine / start - at_end / at_start).abs().max()


def both_ends() -> tuple[list[float], list[float]]:
    """Weights of signal and noise at t = 999 and t = 0."""
    signal, noise = weights(torch.tensor([999, 0]))
    return signal.flatten().tolist(), noise.flatten().tolist()
