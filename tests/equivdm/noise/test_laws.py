"""Each frame is exactly iid N(0, 1), whatever the flow."""

from functools import cache
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equivdm.noise import MotionPlan, MotionPlanner, independent_noise, mix, plan_motion
from tests.equivdm.noise.motions import GRID, MOTIONS, SIZE, affine_flow, coverage, smooth_flow, turn

SEEDS, CHANNELS = 48, 8
SIGMAS = 4.5
"""Seeds are fixed, so that a test passes always or never; a right law passes with all but 1 in 100,000."""

LAGS = [(0, 1), (1, 0), (0, 2), (2, 0), (0, 3), (3, 0), (0, 4), (4, 0), (1, 1), (1, -1), (2, 3)]


@cache
def plan_of(motion: str) -> MotionPlan:
    return plan_motion(MOTIONS[motion](), grid=GRID)


@cache
def last_frame(motion: str) -> np.ndarray:
    """The last emitted frame over many seeds: (seeds, channels, height, width)."""
    plan = plan_of(motion)
    return np.stack([plan.noise(seed, CHANNELS)[-1] for seed in range(SEEDS)]).astype(np.float64)


@pytest.mark.parametrize("motion", MOTIONS)
def test_every_frame_is_a_sum_over_disjoint_particles(motion: str) -> None:
    plan = plan_of(motion)
    assert coverage(plan).min() >= 1
    labels = set(zip(plan.births.tolist(), plan.sites.tolist(), plan.paths.tolist(), strict=True))
    assert len(labels) == len(plan.births)
    for tracks, _ in plan.by_frame():
        assert np.all(np.diff(tracks) > 0)


@pytest.mark.parametrize("motion", MOTIONS)
def test_mean_variance_and_kurtosis(motion: str) -> None:
    noise = last_frame(motion)
    error = 1 / np.sqrt(noise.size)
    assert abs(noise.mean()) < SIGMAS * error
    assert abs((noise**2).mean() - 1) < SIGMAS * np.sqrt(2) * error
    assert abs((noise**4).mean() - 3) < SIGMAS * np.sqrt(96) * error
    # And in each cell alone, where the bound has to hold for all of them at once.
    per_cell = 1 / np.sqrt(SEEDS * CHANNELS)
    assert np.abs(noise.mean(axis=(0, 1))).max() < (SIGMAS + 1) * per_cell
    assert np.abs((noise**2).mean(axis=(0, 1)) - 1).max() < (SIGMAS + 1) * np.sqrt(2) * per_cell


@pytest.mark.parametrize("motion", MOTIONS)
def test_the_distribution_is_normal(motion: str) -> None:
    """Kolmogorov-Smirnov: the largest gap between the distribution functions; 2.23 is passed once in 10,000 times."""
    noise = np.sort(last_frame(motion).ravel())
    wanted = torch.special.ndtr(torch.from_numpy(noise)).numpy()
    steps = np.arange(len(noise) + 1) / len(noise)
    gap = max(np.abs(steps[1:] - wanted).max(), np.abs(steps[:-1] - wanted).max())
    assert gap * np.sqrt(len(noise)) < 2.23


@pytest.mark.parametrize("motion", MOTIONS)
def test_cells_are_uncorrelated(motion: str) -> None:
    noise = last_frame(motion)
    height, width = GRID
    for down, right in LAGS:
        here = noise[..., : height - down, max(0, -right) : width - max(0, right)]
        there = noise[..., down:, max(0, right) : width + min(0, right)]
        assert abs(np.mean(here * there)) < SIGMAS / np.sqrt(here.size), (down, right)


@pytest.mark.parametrize("motion", MOTIONS)
def test_channels_and_seeds_are_uncorrelated(motion: str) -> None:
    noise = last_frame(motion)
    for axis, lag in product((0, 1), (1, 2, 3)):
        assert abs(np.mean(noise * np.roll(noise, lag, axis))) < SIGMAS / np.sqrt(noise.size), (axis, lag)


@settings(max_examples=25, derandomize=True)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    per_cell=st.integers(1, 6),
    strength=st.sampled_from([0.01, 1.0, 30.0, 1e6]),
    seed=st.integers(0, 99),
)
def test_no_flow_leaves_a_cell_without_noise(
    height: int, width: int, rows: int, columns: int, per_cell: int, strength: float, seed: int
) -> None:
    flow = np.random.default_rng(seed).normal(size=(3, height, width, 2)).astype(np.float32)
    plan = plan_motion(strength * flow, grid=(rows, columns), per_cell=per_cell, unknown="fresh")
    assert coverage(plan).min() >= 1
    assert np.isfinite(plan.noise(1, 2)).all()


@pytest.mark.parametrize("per_cell", [1, 2, 3, 4, 6, 8])
def test_a_collapse_is_thinned(per_cell: int) -> None:
    """All material is drawn into one point; its cells stay within the limit, up to the chance of the hash."""
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]] + 0.5
    inward = np.stack([SIZE[1] / 2 + 3 - x, SIZE[0] / 2 + 3 - y], -1) * 0.9
    plan = plan_motion(np.repeat(inward.astype(np.float32)[None], 4, 0), grid=GRID, per_cell=per_cell)
    limit = 8 * per_cell**2
    assert coverage(plan).max() <= limit + 5 * np.sqrt(limit)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9])
def test_mixed_noise_is_white_and_keeps_beta_squared_of_the_correlation(beta: float) -> None:
    still = plan_motion(np.zeros((1, 64, 64, 2), np.float32), grid=(64, 64), per_cell=2)
    noise = still.noise(5, CHANNELS, beta=beta).astype(np.float64)
    error = 1 / np.sqrt(noise[0].size)
    assert abs((noise[0] ** 2).mean() - 1) < SIGMAS * np.sqrt(2) * error
    assert abs(np.mean(noise[0] * noise[1]) - beta**2) < SIGMAS * error
    assert abs(np.mean(noise[0, :, :, 1:] * noise[0, :, :, :-1])) < SIGMAS * error


def test_a_mixed_draw_is_the_mix_of_its_parts() -> None:
    plan = plan_motion(smooth_flow((32, 48), 2, seed=1), grid=(8, 12))
    parts = mix(plan.noise(4, 3), independent_noise((3, 3, 8, 12), 4), 0.7)
    np.testing.assert_array_equal(plan.noise(4, 3, beta=0.7), parts)


@settings(max_examples=25, derandomize=True)
@given(seed=st.integers(0, 1 << 30), per_cell=st.integers(1, 8))
def test_whatever_happens_no_cell_is_empty_and_the_plan_comes_back(seed: int, per_cell: int) -> None:
    """Turns and zooms, waves, and halves that part or meet, one after another; with the check, a mask, or neither."""
    generator = np.random.default_rng(seed)
    size, grid = tuple(generator.integers(20, 80, 2).tolist()), tuple(generator.integers(2, 12, 2).tolist())
    planner = MotionPlanner(size, grid=grid, per_cell=per_cell)
    for _ in range(3):
        halves = np.zeros((3, *size, 2), np.float32)
        halves[:, :, size[1] // 2 :, 0] = generator.normal(0, 4)
        motion = turn(size, degrees=generator.normal(0, 6), zoom=np.exp(generator.normal(0, 0.2)))
        flow = (halves, affine_flow(size, 3, motion), smooth_flow(size, 3, seed, strength=4))[generator.integers(3)]
        back = (None, -flow)[generator.integers(2)]
        hidden = (None, generator.random((3, *size)) < 0.1)[generator.integers(2)]
        planner.extend(flow, back, occlusion=hidden, unknown="fresh")
        plan = planner.take()
        assert coverage(plan).min() >= 1
        assert MotionPlan.from_bytes(plan.to_bytes()) == plan
        assert np.isfinite(plan.noise(seed, 4)).all()
