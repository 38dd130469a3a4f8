"""Flow matching: the path's ends, its derivative, and the minimiser of the loss."""

import pytest
import torch

from equivdm.objective import (
    T_MAX,
    T_MIN,
    clean_from_velocity,
    draw_times,
    flow_matching_loss,
    interpolate,
    velocity,
)
from tests.equivdm.gaussian import NOTHING, Gaussian

SHAPE = (2, 3, 4, 5, 6)


def test_the_path_leads_from_data_to_noise() -> None:
    x0, eps = torch.randn(SHAPE), torch.randn(SHAPE)
    assert torch.equal(interpolate(x0, eps, torch.zeros(2)), x0)
    assert torch.equal(interpolate(x0, eps, torch.ones(2)), eps)


def test_velocity_is_the_derivative_of_the_path() -> None:
    x0, eps = torch.randn(SHAPE, dtype=torch.float64), torch.randn(SHAPE, dtype=torch.float64)
    slope = (interpolate(x0, eps, torch.full((2,), 0.75)) - interpolate(x0, eps, torch.full((2,), 0.25))) / 0.5
    torch.testing.assert_close(slope, velocity(x0, eps))


def test_the_true_velocity_gives_the_clean_video_back() -> None:
    x0, eps, t = torch.randn(SHAPE), torch.randn(SHAPE), torch.tensor([0.3, 1.0])
    torch.testing.assert_close(clean_from_velocity(interpolate(x0, eps, t), velocity(x0, eps), t), x0)


def test_the_posterior_mean_minimises_the_loss() -> None:
    """No other mean or deviation has a lower loss than the data's own: the loss is a proper one."""
    generator = torch.Generator().manual_seed(0)
    x0 = 0.5 + 0.7 * torch.randn(4000, 1, 1, 2, 2, generator=generator)
    eps, t = torch.randn(x0.shape, generator=generator), draw_times(4000, generator)

    def loss(mean: float, deviation: float) -> float:
        denoiser = Gaussian(torch.tensor(mean), torch.tensor(deviation))
        return flow_matching_loss(denoiser, x0, eps, t, NOTHING).item()

    best = loss(0.5, 0.7)
    assert all(best < loss(0.5 + a, 0.7 + b) for a, b in [(0.2, 0), (-0.2, 0), (0, 0.2), (0, -0.2)])


def test_times_are_uniform_and_belong_to_the_generator() -> None:
    times = draw_times(20_000, torch.Generator().manual_seed(1))
    assert times.min() >= T_MIN
    assert times.max() <= T_MAX
    assert times.mean().item() == pytest.approx(0.5, abs=0.01)
    assert times.var().item() == pytest.approx(1 / 12, abs=0.002)
    assert torch.equal(times, draw_times(20_000, torch.Generator().manual_seed(1)))
