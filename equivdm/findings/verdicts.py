"""Plain verdicts on claims, from intervals alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from equivdm.findings.trials import Place, Trials
from equivdm.metrics.bootstrap import Interval

Verdict = Literal["shows", "does not show", "the other way", "too few trainings", "not measured"]

LEAST_TRAININGS = 3
"""Seeds that both sides of a comparison need: fewer know little or nothing of how trainings differ."""

Where = float | Literal["last"] | None
"""A place on the axis, the largest one of the variant, or none."""


@dataclass(frozen=True)
class Side:
    """One side of a comparison."""

    variant: str
    x: Where = None

    def named(self, axis: str | None) -> str:
        """Say it in words; `axis` is what x is."""
        if self.x is None:
            return self.variant
        return f"{self.variant} at {self._at(axis)}"

    def _at(self, axis: str | None) -> str:
        if self.x == "last":
            return f"largest {axis}"
        return f"{self.x:g} {axis}" if axis and axis.endswith("s") else f"{axis} = {self.x:g}"


@dataclass(frozen=True)
class Comparison:
    """A claim that one mean is better than another."""

    metric: str
    better: Side
    worse: Side
    higher: bool
    """Whether higher is better."""
    factor: float = 1.0
    """How many times better, at least."""


@dataclass(frozen=True)
class Finding:
    """What became of a comparison."""

    comparison: Comparison
    verdict: Verdict
    better: Interval | None
    worse: Interval | None
    times: Interval | None = None
    """How many times better it is, where that was asked."""


def judge(comparison: Comparison, trials: Trials) -> Finding:
    """Return the verdict on a comparison; none in either direction where a side has fewer than `LEAST_TRAININGS`.

    It shows where the intervals do not overlap in the claimed direction, and it is the other way where they do not
    overlap in the other one. Where it shall be so many times better it shows where the interval of the ratio, of the
    same clips of the same trainings, lies above that factor, and it is the other way where it lies below 1. Else it
    does not show.
    """
    places = [place_of(trials, comparison.metric, side) for side in (comparison.better, comparison.worse)]
    better, worse = (trials.means.get(place) if place else None for place in places)
    if better is None or worse is None:
        return Finding(comparison, "not measured", better, worse)
    if min(trials.trainings[place] for place in places if place) < LEAST_TRAININGS:
        return Finding(comparison, "too few trainings", better, worse)
    if comparison.factor != 1:
        return _judge_ratio(comparison, trials, better, worse)
    sign = 1 if comparison.higher else -1
    if _above(better, worse, sign):
        return Finding(comparison, "shows", better, worse)
    return Finding(comparison, "the other way" if _above(worse, better, sign) else "does not show", better, worse)


def _judge_ratio(comparison: Comparison, trials: Trials, better: Interval, worse: Interval) -> Finding:
    sides = (comparison.better, comparison.worse) if comparison.higher else (comparison.worse, comparison.better)
    above, below = (place_of(trials, comparison.metric, side) for side in sides)
    times = trials.ratio(above, below) if above and below else None
    if times is None:
        return Finding(comparison, "not measured", better, worse)
    other = "the other way" if times.high < 1 else "does not show"
    return Finding(comparison, "shows" if times.low > comparison.factor else other, better, worse, times)


def together(findings: Sequence[Finding]) -> Verdict:
    """Return the verdict on a claim of several comparisons: the least favourable of them."""
    found: list[Verdict] = [finding.verdict for finding in findings]
    return min(found, key=_WORST_FIRST.index) if found else "not measured"


_WORST_FIRST: tuple[Verdict, ...] = ("the other way", "does not show", "not measured", "too few trainings", "shows")


def _above(one: Interval, other: Interval, sign: int) -> bool:
    return min(sign * one.low, sign * one.high) > max(sign * other.low, sign * other.high)


def place_of(trials: Trials, metric: str, side: Side) -> Place | None:
    """Return where the mean of a side is; None where the variant has no place at all."""
    places = trials.places(metric, side.variant)
    x = places[-1:] if side.x == "last" else [side.x]
    return Place(metric, side.variant, x[0]) if x else None
