"""Straightness and distance of paths that are known in closed form."""

import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch

from equivdm.backbones import backbone_of
from equivdm.config import SamplerConfig, TinyConfig
from equivdm.metrics.trajectory import Path, noise_to_video_distance
from equivdm.sampling import sample
from tests.equivdm.gaussian import NOTHING, Gaussian

SHAPE = (2, 3, 4, 5, 6)


def draws(seed: int) -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def followed(velocities: Sequence[torch.Tensor], times: Sequence[float]) -> Path:
    path = Path()
    for velocity, (t, t_next) in zip(velocities, pairwise(times), strict=True):
        path(velocity, t, t_next)
    return path


def test_the_distance_of_known_ends() -> None:
    x_0 = draws(0)
    assert noise_to_video_distance(x_0, x_0).tolist() == [0, 0]
    assert noise_to_video_distance(x_0 + 3, x_0).tolist() == pytest.approx([3, 3], rel=1e-6)


def test_noise_and_video_that_know_nothing_of_each_other_are_sqrt_2_apart() -> None:
    noise, video = (torch.randn(1, 4, 16, 64, 64, generator=torch.Generator().manual_seed(k)) for k in (1, 2))
    assert noise_to_video_distance(noise, video).item() == pytest.approx(math.sqrt(2), rel=0.01)


@pytest.mark.parametrize("times", [[1.0, 0.75, 0.25, 0.0], [0.875, 0.5, 0.25]])
def test_a_straight_path_has_no_bend_wherever_it_begins(times: list[float]) -> None:
    x_0, u = draws(3), draws(4)
    path = followed([u] * (len(times) - 1), times)
    assert path.straightness(x_0 + times[0] * u, x_0 + times[-1] * u).tolist() == pytest.approx([0, 0], abs=1e-6)


def test_a_bend_is_how_far_velocities_are_from_the_straight_one() -> None:
    """S by its definition, on steps of several lengths."""
    x_0, times = draws(5), [1.0, 0.5, 0.375, 0.0]
    velocities = [draws(seed) for seed in (6, 7, 8)]
    steps = [t - t_next for t, t_next in pairwise(times)]
    x_T = x_0 + sum(step * velocity for step, velocity in zip(steps, velocities, strict=True))
    gaps = [(x_T - x_0 - velocity).double().square().flatten(1).mean(1) for velocity in velocities]
    expected = sum(step * gap for step, gap in zip(steps, gaps, strict=True))
    torch.testing.assert_close(followed(velocities, times).straightness(x_T, x_0), expected, rtol=1e-5, atol=0)


def test_the_path_of_gaussian_data_has_its_integral() -> None:
    """x_t = r_t z with r_t^2 = (1 - t)^2 s^2 + t^2, so S = E z^2 * integral of (1 - s - dr/dt)^2."""
    s, path, noise = 0.25, Path(), draws(7)
    data, diffusion = Gaussian(torch.tensor(0.0), torch.tensor(s)), backbone_of(TinyConfig()).diffusion()
    video = sample(data, noise, NOTHING, SamplerConfig(steps=100), diffusion, watch=path)
    t = torch.linspace(0, 1, 10_001, dtype=torch.float64)
    slope = (t - (1 - t) * s**2) / ((1 - t) ** 2 * s**2 + t**2).sqrt()
    expected = torch.trapezoid((1 - s - slope) ** 2, t) * noise.double().square().flatten(1).mean(1)
    torch.testing.assert_close(path.straightness(noise, video), expected, rtol=0.05, atol=0)


def test_what_does_not_go_from_noise_to_video_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got a step from 0.5 to 0.5, wanted a falling time"):
        Path()(draws(8), 0.5, 0.5)
    with pytest.raises(ValueError, match="got no step, wanted one at least"):
        Path().straightness(draws(8), draws(9))
