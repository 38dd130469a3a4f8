"""Solvers: their order on an ODE with a known solution, and exactness on straight paths."""

import pytest
import torch
from torch import Tensor

from equivdm.config import SamplerConfig
from equivdm.sampling import euler_step, sample
from tests.equivdm.gaussian import NOTHING, Gaussian

KINDS = ["euler", "heun", "unipc"]
NOISE = torch.randn(2, 3, 2, 4, 4, generator=torch.Generator().manual_seed(0))


def error(kind: str, steps: int) -> float:
    law = Gaussian(torch.tensor(0.8), torch.tensor(0.4))
    solved = sample(law, NOISE, NOTHING, SamplerConfig(kind=kind, steps=steps))
    return (solved - (0.8 + 0.4 * NOISE)).abs().max().item()


@pytest.mark.parametrize(("kind", "order"), [("euler", 1), ("heun", 2), ("unipc", 2)])
def test_order_of_convergence(kind: str, order: int) -> None:
    """Twice the steps divide the error by 2^order, within what is not yet asymptotic."""
    ratio = error(kind, 32) / error(kind, 64)
    assert 0.8 * 2**order < ratio < 2 ** (order + 1.2)


@pytest.mark.parametrize("kind", KINDS)
def test_solvers_end_at_the_data(kind: str) -> None:
    assert error(kind, 128) < 0.02


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_straight_paths_are_exact(kind: str, steps: int) -> None:
    """All data in one point: v = (x - x_0) / t, every path is straight, and any solver is exact in any steps."""
    target = torch.full_like(NOISE, 0.3)

    def straight(x: Tensor, times: Tensor, _: object) -> Tensor:
        return (x - target) / times[:, None, None, None, None]

    solved = sample(straight, NOISE, NOTHING, SamplerConfig(kind=kind, steps=steps))
    torch.testing.assert_close(solved, target, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("kind", "steps", "calls"), [("euler", 8, 8), ("heun", 8, 15), ("unipc", 8, 8), ("heun", 1, 1)]
)
def test_number_of_times_that_the_denoiser_is_asked(kind: str, steps: int, calls: int) -> None:
    asked = []

    def denoiser(x: Tensor, times: Tensor, _: object) -> Tensor:
        asked.append(times[0].item())
        return x

    sample(denoiser, NOISE, NOTHING, SamplerConfig(kind=kind, steps=steps))
    assert len(asked) == calls
    assert asked[0] == pytest.approx(1.0, abs=1e-5)
    assert asked == sorted(asked, reverse=True)


def test_euler_step_is_the_equation() -> None:
    x, v = torch.tensor(2.0).expand(1, 1, 1, 1, 1), torch.tensor(3.0).expand(1, 1, 1, 1, 1)
    assert euler_step(x, v, 0.5, 0.25).item() == 2.0 - 0.25 * 3.0


@pytest.mark.parametrize("kind", KINDS)
def test_sampling_is_a_function_of_the_noise(kind: str) -> None:
    law, config = Gaussian(torch.tensor(0.1), torch.tensor(0.5)), SamplerConfig(kind=kind, steps=3)
    assert torch.equal(sample(law, NOISE, NOTHING, config), sample(law, NOISE, NOTHING, config))


def wiener(latents: Tensor, times: Tensor, _: object) -> Tensor:
    """Velocity of stationary Gaussian pictures with spectrum 1 / (1 + 8 |k|^2), frame by frame: the exact minimiser."""
    y, x = torch.fft.fftfreq(latents.shape[-2])[:, None], torch.fft.fftfreq(latents.shape[-1])
    power = 1 / (1 + 8 * (2 * torch.pi) ** 2 * (x**2 + y**2))
    t = times[:, None, None, None, None]
    slope = (t - (1 - t) * power) / ((1 - t) ** 2 * power + t**2)
    return torch.fft.ifft2(torch.fft.fft2(latents) * slope).real


@pytest.mark.parametrize("kind", KINDS)
def test_motion_of_the_noise_becomes_motion_of_the_video(kind: str) -> None:
    """The paper's claim in miniature: no module couples the frames, yet frame k is T_k of frame 0, as its noise is."""
    first = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    warped = torch.stack([first.roll((k, 2 * k), (-2, -1)) for k in range(4)], 2)
    video = sample(wiener, warped, NOTHING, SamplerConfig(kind=kind, steps=4))
    moved = torch.stack([video[:, :, 0].roll((k, 2 * k), (-2, -1)) for k in range(4)], 2)
    torch.testing.assert_close(video, moved, atol=1e-4, rtol=0)
    independent = sample(wiener, torch.randn(warped.shape), NOTHING, SamplerConfig(kind=kind, steps=4))
    assert (independent[:, :, 1] - independent[:, :, 0].roll((1, 2), (-2, -1))).std() > 0.5 * video.std()


@pytest.mark.parametrize("steps", [1, 2, 5, 40])
def test_euler_on_exponential_decay_has_its_closed_form(steps: int) -> None:
    """dx / dt = x from t = 1 down to 0: each step keeps 1 - 1/n, and the limit of many is 1/e."""
    solved = sample(lambda x, times, _: x, NOISE, NOTHING, SamplerConfig(steps=steps))
    torch.testing.assert_close(solved, NOISE * (1 - 1 / steps) ** steps)


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_velocity_is_followed_exactly_whatever_the_steps(kind: str) -> None:
    wind = torch.randn(NOISE.shape, generator=torch.Generator().manual_seed(1))
    for steps in (1, 3, 10):
        solved = sample(lambda x, times, _: wind, NOISE, NOTHING, SamplerConfig(kind=kind, steps=steps))
        torch.testing.assert_close(solved, NOISE - wind, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_samples_of_a_batch_are_solved_alone_and_the_noise_stays_as_it_was(kind: str) -> None:
    law, config, before = (
        Gaussian(torch.tensor(0.1), torch.tensor(0.5)),
        SamplerConfig(kind=kind, steps=4),
        NOISE.clone(),
    )
    whole = sample(law, NOISE, NOTHING, config)
    torch.testing.assert_close(whole[1:], sample(law, NOISE[1:], NOTHING, config))
    assert torch.equal(before, NOISE)


@pytest.mark.parametrize("kind", KINDS)
def test_sampling_keeps_no_graph(kind: str) -> None:
    law = Gaussian(torch.tensor(0.1, requires_grad=True), torch.tensor(0.5))
    assert not sample(law, NOISE, NOTHING, SamplerConfig(kind=kind, steps=2)).requires_grad


def test_the_conditions_reach_the_denoiser_as_they_are() -> None:
    seen = []

    def denoiser(x: Tensor, times: Tensor, conditions: object) -> Tensor:
        seen.append((conditions, times.shape, times.device))
        return x

    sample(denoiser, NOISE, NOTHING, SamplerConfig(steps=2))
    assert seen == [(NOTHING, (2,), NOISE.device)] * 2
