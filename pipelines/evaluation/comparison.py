"""Means with intervals, and systems compared clip by clip with a baseline."""

from collections.abc import Iterable, Mapping
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


@dataclass(frozen=True)
class Comparison:
    """Scores, added up."""

    scores: Scores
    means: Mapping[str, Mapping[str, Interval]]
    """means[system][metric], over the clips that the system has."""
    differences: Mapping[str, Mapping[str, Difference]]
    """differences[system][metric]; none of the baseline's own."""

    def best(self, metric: str) -> str | None:
        """Return the system with the best figure; None where there is nothing to compare, as of different clips."""
        sets = metric in SET_METRICS
        found = {
            name: self.scores.sets[name][metric] if sets else self.means[name][metric].mean
            for name in self.scores.job.names
            if metric in (self.scores.sets[name] if sets else self.means[name])
        }
        better = known(metric).better
        if better == "neither" or len(found) < 2 or not self._alike(metric, found):
            return None
        return (max if better == "higher" else min)(found, key=lambda name: found[name])

    def _alike(self, metric: str, names: Iterable[str]) -> bool:
        """Whether the figures of these systems are of the same clips, and as many frames for metrics of sets."""
        scores = self.scores
        if metric in METRICS:
            return len({frozenset(scores.values[name][metric]) for name in names}) == 1
        clips = scores.set_clips[metric]
        return len({sum(scores.pairs[name][clip].frames for clip in clips) for name in names}) == 1


def known(metric: str) -> Metric | SetMetric:
    """Return a metric of any kind by its name."""
    return METRICS[metric] if metric in METRICS else SET_METRICS[metric]


def compare(scores: Scores) -> Comparison:
    """Add scores up, with bootstrap intervals over the driving videos: clips of one are drawn together."""
    resamples, base = scores.job.bootstrap, scores.values[scores.baseline]
    videos = {clip: pair.driving.content for own in scores.pairs.values() for clip, pair in own.items()}
    means = {
        name: {metric: _mean(values[metric], videos, resamples) for metric in METRICS if values.get(metric)}
        for name, values in scores.values.items()
    }
    differences = {
        name: {
            metric: _difference(metric, values[metric], base[metric], videos, resamples)
            for metric in METRICS
            if values.get(metric, {}).keys() & base.get(metric, {}).keys()
        }
        for name, values in scores.values.items()
        if name != scores.baseline
    }
    return Comparison(scores, means, differences)


def _mean(own: Mapping[str, float], videos: Mapping[str, str], resamples: int) -> Interval:
    return mean_interval(list(own.values()), resamples, seed=0, groups=[videos[clip] for clip in own])


def _difference(
    metric: str, own: Mapping[str, float], base: Mapping[str, float], videos: Mapping[str, str], resamples: int
) -> Difference:
    clips = sorted(own.keys() & base.keys())
    ours, theirs = [own[clip] for clip in clips], [base[clip] for clip in clips]
    interval = paired_interval(ours, theirs, resamples, seed=0, groups=[videos[clip] for clip in clips])
    sign = {"higher": 1, "lower": -1, "neither": 0}[METRICS[metric].better]
    wins = sum(sign * (own[clip] - base[clip]) > 0 for clip in clips) if sign else -1
    return Difference(interval, wins)
