"""Verdicts follow from intervals, and from nothing else."""

import numpy as np
import pytest

from equivdm.findings.claims import BARS, CLAIMS
from equivdm.findings.readings import READINGS
from equivdm.findings.trials import Place, Trial, Trials
from equivdm.findings.verdicts import Comparison, Side, Verdict, judge, together


def trials(**means: float) -> Trials:
    """Three seeds of eight clips for each variant, of a spread of 0.1 about its mean."""
    rng = np.random.default_rng(0)
    return Trials.of(
        Trial(seed, variant, None, "epe", clip, mean + float(rng.normal(0, 0.1)))
        for seed in (2, 0, 1)
        for variant, mean in means.items()
        for clip in range(8)
    )


def verdict(found: Trials, higher: bool = False, factor: float = 1.0) -> Verdict:
    return judge(Comparison("epe", Side("a"), Side("b"), higher, factor), found).verdict


@pytest.mark.parametrize(
    ("a", "b", "lower_is_better", "higher_is_better"),
    [
        (1.0, 2.0, "shows", "the other way"),
        (2.0, 1.0, "the other way", "shows"),
        (1.0, 1.02, "does not show", "does not show"),
    ],
)
def test_intervals_that_do_not_overlap_decide(
    a: float, b: float, lower_is_better: Verdict, higher_is_better: Verdict
) -> None:
    assert verdict(trials(a=a, b=b)) == lower_is_better
    assert verdict(trials(a=a, b=b), higher=True) == higher_is_better


def test_so_many_times_better_takes_so_many_times() -> None:
    assert verdict(trials(a=1.0, b=6.0), factor=5.0) == "shows"
    assert verdict(trials(a=1.0, b=4.0), factor=5.0) == "does not show"
    assert verdict(trials(a=6.0, b=1.0), higher=True, factor=5.0) == "shows"
    assert verdict(trials(a=4.0, b=1.0), higher=True, factor=5.0) == "does not show"
    assert verdict(trials(a=4.0, b=1.0), factor=5.0) == "the other way", "the factor is of the claim alone"


def test_a_ratio_is_of_the_same_clips_of_the_same_trainings() -> None:
    """Trainings and clips that are hard for both sides leave their ratio alone: 6 times in each clip is 6 times."""
    hard = np.random.default_rng(1).lognormal(0, 1, (3, 8))
    units = [(seed, clip) for seed in range(3) for clip in range(8)]
    both = [
        Trial(seed, name, None, "epe", clip, times * float(hard[seed, clip]))
        for name, times in (("a", 1.0), ("b", 6.0))
        for seed, clip in units
    ]
    finding = judge(Comparison("epe", Side("a"), Side("b"), False, 5.0), Trials.of(both))
    assert finding.verdict == "shows"
    assert finding.times is not None
    assert (finding.times.low, finding.times.high) == (pytest.approx(6.0), pytest.approx(6.0))
    apart = [row._replace(clip=row.clip + 8) if row.variant == "b" and row.clip is not None else row for row in both]
    assert verdict(Trials.of(apart), factor=5.0) == "not measured", "there is no clip that both were asked for"


def test_what_was_not_measured_is_said() -> None:
    assert verdict(trials(a=1.0)) == verdict(Trials([])) == "not measured"


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("clips", [(0, 1), (None,)])
def test_fewer_than_three_trainings_decide_nothing(seeds: int, clips: tuple[int | None, ...]) -> None:
    """Nor does one side of three: what it is compared with may have been trained once."""
    rows = [
        Trial(seed, name, None, "epe", clip, mean)
        for seed in range(seeds)
        for name, mean in (("a", 1.0), ("b", 2.0))
        for clip in clips
    ]
    assert verdict(Trials.of(rows)) == "too few trainings"
    more = [Trial(seed, "b", None, "epe", clip, 2.0) for seed in range(seeds, 3) for clip in clips]
    assert verdict(Trials.of([*rows, *more])) == "too few trainings"
    more += [Trial(seed, "a", None, "epe", clip, 1.0) for seed in range(seeds, 3) for clip in clips]
    assert verdict(Trials.of([*rows, *more])) == "shows"


def test_a_side_may_be_at_a_place_or_the_end_of_the_axis() -> None:
    rows = [Trial(seed, "a", x, "epe", 0, value) for seed in range(3) for x, value in ((0.5, 1.0), (0.9, 3.0))]
    found = judge(Comparison("epe", Side("a", 0.5), Side("a", "last"), False), Trials.of(rows))
    assert found.better is not None
    assert found.worse is not None
    assert (found.better.mean, found.worse.mean, found.verdict) == (1.0, 3.0, "shows")


def test_a_claim_of_several_comparisons_is_as_good_as_its_worst() -> None:
    both = trials(a=1.0, b=2.0)
    found = {
        way: judge(Comparison("epe", Side(better), Side(worse), False), both)
        for way, better, worse in (
            ("shows", "a", "b"),
            ("other", "b", "a"),
            ("nothing", "a", "a"),
            ("absent", "c", "a"),
        )
    }
    assert together([found["shows"]]) == "shows"
    assert together([found["shows"], found["absent"]]) == "not measured"
    assert together([found["shows"], found["nothing"], found["absent"]]) == "does not show"
    assert together([*found.values()]) == "the other way"
    assert together([]) == "not measured"


def test_means_are_over_seeds_and_clips_whatever_their_order() -> None:
    rows = list(trials(a=1.0).rows)
    mean = trials(a=1.0).means[Place("epe", "a", None)]
    assert mean.count == 24
    assert mean.mean == pytest.approx(np.mean([row.value for row in rows]))
    by_seed = sorted(rows, key=lambda row: -row.seed)
    assert Trials.of(by_seed).means == Trials.of(rows).means


def test_claims_are_of_known_metrics_that_have_a_better_side() -> None:
    every = [each for claims in CLAIMS.values() for each in claims.comparisons]
    assert {each.metric for each in every} <= {name for name, reading in READINGS.items() if reading.higher is not None}
    for bar in BARS:
        assert set(map(repr, (*bar.comparisons, *bar.beside))) <= set(map(repr, CLAIMS[bar.experiment].comparisons))
