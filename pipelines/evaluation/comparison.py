"""Means with intervals, and systems compared clip by clip with a baseline."""

from collections.abc import Mapping
from dataclasses import dataclass

from equivdm.metrics import METRICS, SET_METRICS, Metric, SetMetric
from equivdm.metrics.bootstrap import Interval, mean_interval, paired_interval
from pipelines.evaluation.scores import Scores


@dataclass(frozen=True)
class Difference:
    """A system less the baseline, over the clips that both have."""

    interval: Interval
    """Of the difference's mean."""
    wins: int
    """Clips where the system is better; -1 for a metric that only describes."""

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.interval.low > 0 or self.interval.high < 0


@dataclass(frozen=True)
class Comparison:
    """Scores, added up."""

    scores: Scores
    means: Mapping[str, Mapping[str, Interval]]
    """means[system][metric], over the clips that the system has."""
    differences: Mapping[str, Mapping[str, Difference]]
    """differences[system][metric]; none of the baseline's own."""

    def best(self, metric: str) -> str | None:
        """Return the system with the best figure; None where there is nothing to compare."""
        sets = metric in SET_METRICS
        found = {
            name: self.scores.sets[name][metric] if sets else self.means[name][metric].mean
            for name in self.scores.job.names
            if metric in (self.scores.sets[name] if sets else self.means[name])
        }
        better = known(metric).better
        if better == "neither" or len(found) < 2:
            return None
        return (max if better == "higher" else min)(found, key=lambda name: found[name])


def known(metric: str) -> Metric | SetMetric:
    """Return a metric of any kind by its name."""
    return METRICS[metric] if metric in METRICS else SET_METRICS[metric]


def compare(scores: Scores) -> Comparison:
    """Add scores up, with bootstrap intervals over the clips."""
    resamples, base = scores.job.bootstrap, scores.values[scores.baseline]
    means = {
        name: {
            metric: mean_interval(list(values[metric].values()), resamples, seed=0)
            for metric in METRICS
            if values.get(metric)
        }
        for name, values in scores.values.items()
    }
    differences = {
        name: {
            metric: _difference(metric, values[metric], base[metric], resamples)
            for metric in METRICS
            if values.get(metric, {}).keys() & base.get(metric, {}).keys()
        }
        for name, values in scores.values.items()
        if name != scores.baseline
    }
    return Comparison(scores, means, differences)


def _difference(metric: str, own: Mapping[str, float], base: Mapping[str, float], resamples: int) -> Difference:
    clips = sorted(own.keys() & base.keys())
    interval = paired_interval([own[clip] for clip in clips], [base[clip] for clip in clips], resamples, seed=0)
    sign = {"higher": 1, "lower": -1, "neither": 0}[METRICS[metric].better]
    wins = sum(sign * (own[clip] - base[clip]) > 0 for clip in clips) if sign else -1
    return Difference(interval, wins)
