"""Fréchet and kernel distances: closed forms, direct computations, and no bias where there should be none."""

from itertools import product

import numpy as np
import pytest
from scipy.linalg import sqrtm

from equivdm.metrics import distributions
from equivdm.metrics.distributions import (
    Moments,
    frechet_distance,
    gaussian_distance,
    kernel_distance,
    moments,
    squared_discrepancy,
)


def features(seed: int, number: int = 300, width: int = 6, shift: float = 0.0) -> np.ndarray:
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(width, width))
    return (random.normal(size=(number, width)) @ mixing + 5 + shift).astype(np.float32)


def spd(seed: int, width: int = 5, rank: int | None = None) -> np.ndarray:
    factor = np.random.default_rng(seed).normal(size=(width, rank or width))
    return factor @ factor.T


@pytest.mark.parametrize("cuts", [[], [1], [7, 8, 150]])
def test_streamed_moments_are_those_of_numpy_however_they_are_cut(cuts: list[int]) -> None:
    rows = features(0)
    sums = moments(np.split(rows, cuts))
    np.testing.assert_allclose(sums.mean, rows.mean(0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(sums.covariance, np.cov(rows.astype(np.float64), rowvar=False), rtol=1e-9, atol=1e-9)


def test_moments_of_machines_add_up_in_any_order() -> None:
    parts = [Moments.of(part) for part in np.split(features(1), [40, 100])]
    one, other = parts[0].merge(parts[1]).merge(parts[2]), parts[2].merge(parts[0]).merge(parts[1])
    assert one.count == other.count == 300
    np.testing.assert_allclose(one.covariance, other.covariance, rtol=1e-12)


def test_gaussians_with_diagonal_covariances_have_their_closed_form() -> None:
    """|m - m'|^2 + sum_i (s_i - s'_i)^2."""
    m, n = np.array([1.0, 2, 3]), np.array([1.5, 0, 3])
    s, r = np.array([1.0, 4, 0.5]), np.array([2.0, 1, 0.5])
    expected = ((m - n) ** 2).sum() + ((s - r) ** 2).sum()
    assert gaussian_distance(m, np.diag(s**2), n, np.diag(r**2)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("rank", [5, 2])
def test_a_gaussian_has_no_distance_from_itself_and_that_of_its_shift_and_of_its_scale(rank: int) -> None:
    m, c = np.arange(5.0), spd(2, rank=rank)
    assert gaussian_distance(m, c, m, c) == pytest.approx(0, abs=1e-6)
    assert gaussian_distance(m, c, m + 2, c) == pytest.approx(20, abs=1e-6)
    assert gaussian_distance(m, c, m, 9 * c) == pytest.approx(4 * np.trace(c), rel=1e-6)


@pytest.mark.parametrize(("rank_a", "rank_b"), [(5, 5), (5, 2), (2, 5), (2, 2)])
def test_the_distance_is_symmetric_and_that_of_the_matrix_root(rank_a: int, rank_b: int) -> None:
    a, b, zero = spd(3, rank=rank_a), spd(4, rank=rank_b), np.zeros(5)
    found = gaussian_distance(zero, a, zero, b)
    assert found == pytest.approx(gaussian_distance(zero, b, zero, a), abs=1e-6)
    direct = np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert found == pytest.approx(direct, abs=1e-5)


def test_lines_that_cross_at_a_right_angle_share_nothing() -> None:
    """Rank one each, on other axes: all of both variances counts."""
    zero = np.zeros(2)
    assert gaussian_distance(zero, np.diag([4.0, 0]), zero, np.diag([0, 9.0])) == pytest.approx(13)


def test_frechet_distance_of_features_is_the_direct_one() -> None:
    a, b = features(5), features(6, shift=0.5)
    c_a, c_b = (np.cov(each.astype(np.float64), rowvar=False) for each in (a, b))
    gap = a.mean(0, dtype=np.float64) - b.mean(0, dtype=np.float64)
    direct = gap @ gap + np.trace(c_a + c_b - 2 * sqrtm(c_a @ c_b).real)
    assert frechet_distance(np.split(a, [50]), [b]) == pytest.approx(direct, rel=1e-7)
    assert frechet_distance([a], [a]) == pytest.approx(0, abs=1e-6)


def test_the_estimator_is_its_definition_pair_by_pair() -> None:
    x, y = (features(seed, 6, 4).astype(np.float64) for seed in (7, 8))

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / 4 + 1) ** 3)

    others = [(i, j) for i, j in product(range(6), repeat=2) if i != j]
    expected = np.mean([k(x[i], x[j]) + k(y[i], y[j]) for i, j in others])
    expected -= 2 * np.mean([k(a, b) for a, b in product(x, y)])
    assert squared_discrepancy(x, y) == pytest.approx(expected, rel=1e-9)


def test_kernel_distance_has_no_bias_by_the_number_of_videos() -> None:
    """Pairs of small sets of one law: their mean is 0 within its standard error, where FID's is far above."""
    sets = [np.random.default_rng(seed).normal(size=(12, 8)).astype(np.float32) for seed in range(120)]
    pairs = list(zip(sets[::2], sets[1::2], strict=True))
    kernel = np.array([kernel_distance([a], [b]) for a, b in pairs])
    frechet = np.array([frechet_distance([a], [b]) for a, b in pairs])
    assert abs(kernel.mean()) < 3 * kernel.std() / np.sqrt(len(kernel))
    assert frechet.mean() > 20 * frechet.std() / np.sqrt(len(frechet))


def test_kernel_distance_of_two_constants_is_the_difference_of_their_kernels() -> None:
    """All of x are a and all of y are b, one number wide: (a^2 + 1)^3 + (b^2 + 1)^3 - 2 (a b + 1)^3."""
    x, y = np.full((5, 1), 2, np.float32), np.full((9, 1), 3, np.float32)
    assert kernel_distance([x], [y]) == pytest.approx(5**3 + 10**3 - 2 * 7**3)


def test_kernel_distance_takes_subsets_of_large_sets_alike_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributions, "SUBSET", 100)
    x, y = features(9, 220, 2), features(10, 200, 2, shift=1)
    found = kernel_distance(np.split(x, [50]), [y])
    assert found == kernel_distance([x], np.split(y, [1]))
    assert found == pytest.approx(squared_discrepancy(x[:200].astype(float), y.astype(float)), rel=0.2)


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_too_few_are_refused(distance: object) -> None:
    one, many = features(11, 1), features(12)
    with pytest.raises(ValueError, match="features: got none, wanted those of some videos"):
        distance([], [many])  # type: ignore[operator]
    with pytest.raises(ValueError, match=r"features: got 1.*, wanted at least 2"):
        distance([one], [many])  # type: ignore[operator]
