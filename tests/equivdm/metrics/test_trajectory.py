"""Straightness and distance of paths that are known in closed form."""

import math
from itertools import pairwise

import pytest
import torch

from equivdm.metrics.trajectory import noise_to_video_distance, straightness
from tests.equivdm.gaussian import NOTHING, Gaussian

SHAPE = (2, 3, 4, 5, 6)


def draws(seed: int) -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def euler(velocity: Gaussian, noise: torch.Tensor, times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The points of a path and the velocities that led from each to the next."""
    path, velocities = [noise], []
    for t, later in pairwise(times):
        velocities.append(velocity(path[-1], t.expand(len(noise)), NOTHING))
        path.append(path[-1] - (t - later) * velocities[-1])
    return torch.stack(path), torch.stack(velocities)


def test_the_distance_of_known_ends() -> None:
    x_0 = draws(0)
    assert noise_to_video_distance(x_0, x_0).tolist() == [0, 0]
    assert noise_to_video_distance(x_0 + 3, x_0).tolist() == pytest.approx([3, 3], rel=1e-6)


def test_noise_and_video_that_know_nothing_of_each_other_are_sqrt_2_apart() -> None:
    noise, video = (torch.randn(1, 4, 16, 64, 64, generator=torch.Generator().manual_seed(k)) for k in (1, 2))
    assert noise_to_video_distance(noise, video).item() == pytest.approx(math.sqrt(2), rel=0.01)


@pytest.mark.parametrize("times", [[1.0, 0.75, 0.25, 0.0], [0.875, 0.5, 0.25]])
def test_a_straight_path_has_exactly_no_bend_wherever_it_begins(times: list[float]) -> None:
    """In numbers whose sums are exact in binary."""
    x_0, u = (torch.randint(-8, 8, SHAPE, generator=torch.Generator().manual_seed(k)).float() for k in (3, 4))
    path = torch.stack([x_0 + t * u for t in times])
    velocities = u.expand(len(times) - 1, *SHAPE)
    assert straightness(path, velocities, torch.tensor(times)).tolist() == [0, 0]


def test_a_bend_has_its_closed_form() -> None:
    """Velocities u + c and u - c for half of the time each lead to the same end, and are c away from u throughout."""
    x_0, u = draws(5), draws(6)
    times, bends = torch.tensor([1.0, 0.5, 0.0]), torch.tensor([2.0, -2.0])
    velocities = torch.stack([u + bend for bend in bends])
    path = torch.stack([x_0 + u, x_0 + u - 0.5 * velocities[0], x_0])
    assert straightness(path, velocities, times).tolist() == pytest.approx([4, 4], rel=1e-5)


def test_the_path_of_gaussian_data_has_its_integral() -> None:
    """x_t = r_t z with r_t^2 = (1 - t)^2 s^2 + t^2, so S = E z^2 * integral of (1 - s - dr/dt)^2."""
    s, steps = 0.25, 100
    times = torch.linspace(1, 0, steps + 1)
    noise = draws(7)
    path, velocities = euler(Gaussian(torch.tensor(0.0), torch.tensor(s)), noise, times)
    t = torch.linspace(0, 1, 10_001, dtype=torch.float64)
    slope = (t - (1 - t) * s**2) / ((1 - t) ** 2 * s**2 + t**2).sqrt()
    expected = torch.trapezoid((1 - s - slope) ** 2, t) * noise.double().square().flatten(1).mean(1)
    torch.testing.assert_close(straightness(path, velocities, times), expected, rtol=0.05, atol=0)


@pytest.mark.parametrize("times", [[0.0, 0.5, 1.0], [1.0, 0.5], [1.0, 1.0, 0.0]])
def test_points_that_do_not_go_from_noise_to_video_are_refused(times: list[float]) -> None:
    path = draws(8).expand(3, *SHAPE)
    with pytest.raises(ValueError, match=r"got 3 points, 2 velocities and times .* wanted falling times, a point for"):
        straightness(path, path[:2], torch.tensor(times))
