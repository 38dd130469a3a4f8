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


def test_the_loss_of_a_network_that_says_nothing_is_the_power_of_the_velocity() -> None:
    """For white data and noise that is the sum of their variances: what a trained network is better than."""
    x0, eps, t = 2 * torch.randn(400, 1, 2, 4, 4), torch.randn(400, 1, 2, 4, 4), torch.rand(400)
    loss = flow_matching_loss(lambda x, times, conditions: torch.zeros_like(x), x0, eps, t, NOTHING)
    torch.testing.assert_close(loss, (eps - x0).square().mean())
    assert loss.item() == pytest.approx(5, rel=0.1)


def test_the_loss_is_zero_for_the_true_velocity_and_asks_at_the_right_place() -> None:
    x0, eps, t = torch.randn(SHAPE), torch.randn(SHAPE), torch.tensor([0.2, 0.7])

    def knowing(x_t: torch.Tensor, times: torch.Tensor, conditions: object) -> torch.Tensor:
        assert torch.equal(times, t)
        torch.testing.assert_close(x_t, interpolate(x0, eps, t))
        return eps - x0

    assert flow_matching_loss(knowing, x0, eps, t, NOTHING) == 0


def test_each_sample_has_its_own_time() -> None:
    x0, eps = torch.randn(SHAPE), torch.randn(SHAPE)
    together = interpolate(x0, eps, torch.tensor([0.25, 0.75]))
    for row, time in enumerate((0.25, 0.75)):
        torch.testing.assert_close(together[row], (1 - time) * x0[row] + time * eps[row])


def test_a_prediction_in_half_precision_is_judged_in_full() -> None:
    x0, eps, t = torch.zeros(SHAPE), torch.full(SHAPE, 300.0), torch.full((2,), 0.5)
    loss = flow_matching_loss(lambda x, times, conditions: torch.zeros_like(x).half(), x0, eps, t, NOTHING)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(90_000)  # beyond the largest number of float16
