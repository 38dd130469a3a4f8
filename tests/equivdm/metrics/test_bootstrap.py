"""Intervals cover what they should."""

import numpy as np
import pytest

from equivdm.metrics.bootstrap import Interval, mean_interval, paired_interval


def test_one_value_is_its_own_interval() -> None:
    assert mean_interval([3.5], 100, seed=0) == Interval(3.5, 3.5, 3.5, 1)


def test_the_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    """300 samples of 40: coverage of a 95% percentile bootstrap lies near .94, three standard errors are .041."""
    draws = np.random.default_rng(1).normal(2.0, 1.0, (300, 40))
    intervals = [mean_interval(list(draw), 400, seed=0) for draw in draws]
    coverage = np.mean([i.low <= 2.0 <= i.high for i in intervals])
    assert 0.89 < coverage < 0.99


def test_the_width_is_that_of_the_standard_error() -> None:
    sample = np.random.default_rng(2).normal(0, 1, 400)
    interval = mean_interval(list(sample), 4000, seed=0)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * sample.std() / 20, rel=0.06)


def test_pairs_see_a_difference_that_single_intervals_hide() -> None:
    rng = np.random.default_rng(3)
    first = rng.normal(0, 10, 30)
    second = first - 1 + rng.normal(0, 0.1, 30)
    paired = paired_interval(list(first), list(second), 1000, seed=0)
    assert paired.low > 0.9
    assert mean_interval(list(first), 1000, 0).low < mean_interval(list(second), 1000, 0).high


@pytest.mark.parametrize("values", [[], [1.0, float("nan")]])
def test_nothing_and_nan_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="wanted finite values"):
        mean_interval(values, 100, seed=0)


def test_pairs_of_different_clips_are_refused() -> None:
    with pytest.raises(ValueError, match="got 2 and 1 values"):
        paired_interval([1.0, 2.0], [1.0], 100, seed=0)
