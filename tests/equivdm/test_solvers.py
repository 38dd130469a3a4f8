"""Every solver on every process and parameterisation, on data whose paths are known."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers import UniPCMultistepScheduler
from torch import Tensor

from equivdm.backbones.base import Conditions
from equivdm.config import SamplerConfig
from equivdm.objective import TARGETS, Diffusion
from equivdm.process import Straight, VideoCrafter2Process
from equivdm.sampling import sample, step_times
from tests.equivdm.gaussian import NOTHING, Gaussian, Posterior

KINDS = ["euler", "ddim", "heun", "unipc"]
ORDERS = {"euler": 1, "ddim": 1, "heun": 2, "unipc": 2}
ANY = [Diffusion(process, predicts) for process in (Straight(), VideoCrafter2Process()) for predicts in TARGETS]
STRAIGHT, LEVELS = ANY[: len(TARGETS)], ANY[len(TARGETS) :]
NOISE = torch.randn(2, 3, 2, 4, 4, generator=torch.Generator().manual_seed(0))


def solve(law: Posterior, kind: str, steps: int) -> Tensor:
    return sample(law, NOISE, NOTHING, SamplerConfig.model_validate({"kind": kind, "steps": steps}), law.diffusion)


def error(law: Posterior, kind: str, steps: int) -> float:
    return (solve(law, kind, steps) - law.end(NOISE)).abs().max().item()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("diffusion", STRAIGHT, ids=str)
def test_order_of_convergence(diffusion: Diffusion, kind: str) -> None:
    """Twice the steps divide the error by 2^order."""
    law = Posterior(0.8, 0.4, diffusion)
    ratio = error(law, kind, 32) / error(law, kind, 64)
    assert 0.8 * 2 ** ORDERS[kind] < ratio < 2 ** (ORDERS[kind] + 0.5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("diffusion", ANY, ids=str)
def test_paths_to_one_point_are_exact_in_any_steps(diffusion: Diffusion, kind: str) -> None:
    """All data in one point: paths are straight. At 0.001 of the data, eps magnifies rounding a thousandfold."""
    for steps, rounding in ((1, 5e-4), (3, 1e-5)):
        solved = solve(Posterior(0.3, 0.0, diffusion), kind, steps)
        torch.testing.assert_close(solved, torch.full_like(NOISE, 0.3), atol=rounding, rtol=0)


@pytest.mark.parametrize("shift", [1.0, 5.0])
@pytest.mark.parametrize("kind", ["heun", "unipc"])
def test_times_of_the_straight_path_are_the_published_ones(kind: str, shift: float) -> None:
    """The lowest one of `heun` is shifted twice; `unipc` leaves the lowest one out."""

    def shifted(s: float) -> float:
        return shift * s / (1 + (shift - 1) * s)

    if kind == "heun":
        first, *others = [shifted(1 + (shifted(0.001) - 1) * k / 4) for k in range(5)]
        wanted = [first, *(t for t in others for _ in range(2))]
    else:
        wanted = [shifted(1 + (0.001 - 1) * k / 5) for k in range(5)]
    law, asked = Posterior(0.8, 0.4, STRAIGHT[-1]), list[float]()

    def listened(latents: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
        asked.append(times[0].item())
        return law(latents, times, conditions)

    config = SamplerConfig.model_validate({"kind": kind, "steps": 5, "shift": shift})
    sample(listened, NOISE, NOTHING, config, law.diffusion)
    assert asked == pytest.approx(wanted, abs=2e-6)


def levels_of(times: list[float]) -> list[float]:
    """b / (a + b) of VideoCrafter2's process: where on the straight path a time is."""
    a, b = (weight.double().flatten() for weight in VideoCrafter2Process().weights(torch.tensor(times)))
    return (b / (a + b)).tolist()


def start(times: list[float]) -> Tensor:
    """The noise as it lies on the straight path."""
    a, b = VideoCrafter2Process().weights(torch.tensor(times[:1]))
    return NOISE / (a + b)


GAUSSIAN = Gaussian(torch.tensor(0.8), torch.tensor(0.4))


def velocity(y: Tensor, level: float) -> Tensor:
    return GAUSSIAN(y, torch.full((2,), level), NOTHING)


@pytest.mark.parametrize("diffusion", LEVELS, ids=str)
def test_heun_on_levels_is_the_trapezoid_rule_of_the_straight_path(diffusion: Diffusion) -> None:
    times = step_times(SamplerConfig(kind="heun", steps=9), diffusion)
    levels = [*levels_of(times[:-1]), 0.0]
    y = start(times)
    for level, following in pairwise(levels):
        first = velocity(y, level)
        ahead = y + (following - level) * first
        y = ahead if following == 0 else y + (following - level) * (first + velocity(ahead, following)) / 2
    torch.testing.assert_close(solve(Posterior(0.8, 0.4, diffusion), "heun", 9), y, atol=1e-4, rtol=0)


@pytest.mark.parametrize("diffusion", LEVELS, ids=str)
def test_unipc_on_levels_is_that_of_the_straight_path(diffusion: Diffusion) -> None:
    times = step_times(SamplerConfig(kind="unipc", steps=9), diffusion)
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True)
    levels = levels_of(times[:-1])
    scheduler.set_timesteps(sigmas=np.array(levels))
    y = start(times)
    for timestep, level in zip(scheduler.timesteps, levels, strict=True):
        y = scheduler.step(velocity(y, level), timestep, y).prev_sample
    torch.testing.assert_close(solve(Posterior(0.8, 0.4, diffusion), "unipc", 9), y, atol=1e-4, rtol=0)


def test_second_order_needs_fewer_steps_on_levels() -> None:
    """Steps from level to level are uneven on the path: a bound instead of an order."""
    law = Posterior(0.8, 0.4, LEVELS[0])
    assert error(law, "heun", 9) < 0.02 < error(law, "ddim", 65)
    assert error(law, "unipc", 65) < 0.5 * error(law, "ddim", 65) < error(law, "ddim", 33) / 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("diffusion", [STRAIGHT[-1], *LEVELS[:1]], ids=str)
def test_a_wider_start_is_a_wider_end_and_twice_is_the_same(diffusion: Diffusion, kind: str) -> None:
    """With Gaussian data every solver is affine in the noise, and none adds any of its own."""
    law, config = Posterior(0.8, 0.4, diffusion), SamplerConfig.model_validate({"kind": kind, "steps": 4})
    end, again, zero, wide = (
        sample(law, noise, NOTHING, config, diffusion) for noise in (NOISE, NOISE, 0 * NOISE, 3 * NOISE)
    )
    assert torch.equal(end, again)
    torch.testing.assert_close(wide - zero, 3 * (end - zero), atol=1e-3, rtol=1e-3)


def test_levels_of_a_published_model_are_even_from_the_noisiest_to_the_cleanest() -> None:
    diffusion = Diffusion(VideoCrafter2Process(), "epsilon")
    *times, last = step_times(SamplerConfig(kind="ddim", steps=50), diffusion)
    levels = [round(1000 * t) for t in times]
    assert (levels[0], levels[-1], last, len(levels)) == (999, 1, 0.0, 50)
    assert {before - after for before, after in pairwise(levels)} == {20, 21}
    assert step_times(SamplerConfig(kind="ddim", steps=1), diffusion) == [0.999, 0.0]
