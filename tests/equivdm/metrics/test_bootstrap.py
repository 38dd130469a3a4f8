"""Intervals cover what they should."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equivdm.metrics import bootstrap
from equivdm.metrics.bootstrap import Interval, crossed_interval, crossed_ratio, mean_interval, paired_interval


def test_one_value_or_group_has_no_interval() -> None:
    assert not mean_interval([3.5], 100, seed=0).known
    alone = mean_interval([3.5, 4.5], 100, seed=0, groups=["a", "a"])
    assert (alone.mean, alone.count, alone.known) == (4.0, 2, False)


def test_copies_of_a_value_in_its_group_tell_nothing_new() -> None:
    sample = list(np.random.default_rng(5).normal(size=9))
    twice, groups = [value for value in sample for _ in (0, 1)], [group for group in range(9) for _ in (0, 1)]
    single, double = mean_interval(sample, 500, seed=0), mean_interval(twice, 500, seed=0, groups=groups)
    assert (double.low, double.high) == pytest.approx((single.low, single.high))
    with pytest.raises(ValueError, match="got 3 values of 1 groups"):
        mean_interval([1.0, 2.0, 3.0], 100, seed=0, groups=["a"])


def test_the_draws_do_not_depend_on_how_many_are_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = list(np.random.default_rng(6).normal(size=31))
    whole = mean_interval(sample, 300, seed=0)
    monkeypatch.setattr(bootstrap, "_AT_ONCE", 7 * 31)
    assert mean_interval(sample, 300, seed=0) == whole


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


values = st.lists(st.floats(-100, 100), min_size=2, max_size=12)
some = settings(max_examples=40, derandomize=True)


@some
@given(values, st.floats(-50, 50), st.floats(0.1, 10))
def test_another_unit_or_origin_moves_the_interval_along(sample: list[float], shift: float, scale: float) -> None:
    plain = mean_interval(sample, 200, seed=1)
    moved = mean_interval([scale * value + shift for value in sample], 200, seed=1)
    for name in ("mean", "low", "high"):
        assert getattr(moved, name) == pytest.approx(scale * getattr(plain, name) + shift, abs=1e-8, rel=1e-9)


@some
@given(values)
def test_an_interval_lies_within_the_values_and_a_surer_one_is_wider(sample: list[float]) -> None:
    narrow, wide = (mean_interval(sample, 200, seed=2, level=level) for level in (0.5, 0.99))
    assert min(sample) - 1e-9 <= wide.low <= narrow.low <= narrow.high <= wide.high <= max(sample) + 1e-9
    assert narrow.count == len(sample)


@some
@given(values)
def test_a_set_does_not_differ_from_itself(sample: list[float]) -> None:
    assert paired_interval(sample, sample, 100, seed=3) == Interval(0.0, 0.0, 0.0, len(sample))


def test_an_interval_belongs_to_its_seed() -> None:
    sample = list(np.random.default_rng(4).normal(size=20))
    assert mean_interval(sample, 300, seed=5) == mean_interval(sample, 300, seed=5)
    assert mean_interval(sample, 300, seed=5) != mean_interval(sample, 300, seed=6)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, 2.0])
def test_a_level_that_is_no_share_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match=f"and level {level}, wanted finite values and 0 < level < 1"):
        mean_interval([1.0, 2.0], 100, seed=0, level=level)


def test_crossed_intervals_cover_the_mean_of_all_trainings_and_clips() -> None:
    """200 draws of 12 trainings of 12 clips with effects of both: ~ .92 are covered, and .5 where all count as one."""
    rng = np.random.default_rng(4)
    trainings, clips = zip(*[(training, clip) for training in range(12) for clip in range(12)], strict=True)
    crossed, pooled = 0, 0
    for _ in range(200):
        values = list((2.0 + rng.normal(0, 1, (12, 1)) + rng.normal(0, 1, (12, 12))).ravel())
        wide, narrow = crossed_interval(values, trainings, clips, 400, seed=0), mean_interval(values, 400, seed=0)
        crossed += wide.low <= 2.0 <= wide.high
        pooled += narrow.low <= 2.0 <= narrow.high
    assert 0.85 <= crossed / 200 <= 0.99
    assert pooled / 200 < 0.75


def test_what_is_of_all_clips_at_once_is_drawn_by_training_alone() -> None:
    """So it is a plain bootstrap: the width is that of the standard error of 40 trainings."""
    sample = np.random.default_rng(5).normal(0, 1, 40)
    interval = crossed_interval(list(sample), range(40), [None] * 40, 4000, seed=0)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * sample.std() / 40**0.5, rel=0.06)


def test_clips_are_drawn_within_their_training() -> None:
    """Of one training the clips alone are drawn; of trainings without spread in them, the trainings alone."""
    clips = list(np.random.default_rng(6).normal(0, 1, 40))
    one = crossed_interval(clips, ["a"] * 40, range(40), 4000, seed=0)
    assert one.high - one.low == pytest.approx(2 * 1.96 * np.std(clips) / 40**0.5, rel=0.06)
    flat = crossed_interval([1.0, 1.0, 4.0, 4.0], ["a", "a", "b", "b"], [0, 1, 0, 1], 500, seed=0)
    assert (flat.mean, flat.low, flat.high) == (2.5, 1.0, 4.0)
    assert crossed_interval([3.0], ["a"], [0], 100, seed=0) == Interval(3.0, 3.0, 3.0, 1)


def test_values_without_their_names_are_refused() -> None:
    with pytest.raises(ValueError, match="got 2 values, 1 trainings, 2 clips"):
        crossed_interval([1.0, 2.0], ["a"], [0, 1], 100, seed=0)


def test_a_ratio_is_drawn_for_both_together_and_over_one_it_is_the_mean() -> None:
    rng = np.random.default_rng(0)
    trainings, clips = np.repeat(["a", "b", "c"], 5).tolist(), [*range(5)] * 3
    values, ones = rng.uniform(1, 2, 15).tolist(), [1.0] * 15
    assert crossed_ratio(values, ones, trainings, clips, 300, seed=4) == crossed_interval(
        values, trainings, clips, 300, seed=4
    )
    doubled = crossed_ratio([2 * value for value in values], values, trainings, clips, 300, seed=4)
    assert (doubled.mean, doubled.low, doubled.high) == (pytest.approx(2.0),) * 3
    with pytest.raises(ValueError, match="got 14 values, 15 trainings, 15 clips, wanted one of each"):
        crossed_ratio(values, ones[1:], trainings, clips, 300, seed=4)


def test_the_interval_of_a_ratio_covers_it() -> None:
    """Means 3 and 2 of 8 trainings of 6 clips; nominal 95%."""
    rng, held = np.random.default_rng(1), 0
    trainings, clips = np.repeat(np.arange(8), 6).tolist(), [*range(6)] * 8
    for _ in range(200):
        common = np.repeat(rng.normal(0, 0.3, 8), 6)
        above, below = (mean + common + rng.normal(0, 0.3, 48) for mean in (3.0, 2.0))
        found = crossed_ratio(above.tolist(), below.tolist(), trainings, clips, 300, seed=0)
        held += found.low <= 1.5 <= found.high
    assert 0.85 <= held / 200 <= 0.99
