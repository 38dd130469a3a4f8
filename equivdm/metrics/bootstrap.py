"""Means with confidence intervals, by resampling clips, or trainings and clips (Efron's percentile bootstrap)."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from math import isfinite, nan

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A mean, the ends of its confidence interval, and how many values it is of."""

    mean: float
    low: float
    """Not a number where nothing is known of the spread; `high` likewise."""
    high: float
    count: int

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return isfinite(self.low)


def mean_interval(
    values: Sequence[float],
    resamples: int,
    seed: int,
    level: float = 0.95,
    groups: Sequence[Hashable] | None = None,
) -> Interval:
    """Return the mean of the values with its bootstrap interval; there is none of a single value, or group.

    Values of one group, such as the windows of one video, are drawn together: they are no independent samples.

    Raises ValueError for no value, a value that is not finite, a level outside (0, 1), or groups of another number.
    """
    sample = np.asarray(values, np.float64)
    if not sample.size or not np.isfinite(sample).all() or not 0 < level < 1:
        raise ValueError(f"got values {list(values)[:4]}... and level {level}, wanted finite values and 0 < level < 1")
    if groups is not None and len(groups) != sample.size:
        raise ValueError(f"got {sample.size} values of {len(groups)} groups, wanted one of each")
    numbers = _numbers(range(sample.size) if groups is None else groups)
    totals, sizes = np.bincount(numbers, sample), np.bincount(numbers)
    low = high = nan
    if len(sizes) > 1:
        ends = [(1 - level) / 2, (1 + level) / 2]
        low, high = np.quantile(_means(totals, sizes, resamples, np.random.default_rng(seed)), ends)
    return Interval(float(sample.mean()), float(low), float(high), sample.size)


_AT_ONCE = 2**20
"""Groups that are drawn at once, over all draws: some 30 MB."""


def _means(totals: np.ndarray, sizes: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Return the mean of each draw of groups, given their sums and sizes."""
    number, found = len(totals), []
    step = max(1, _AT_ONCE // number)
    for start in range(0, resamples, step):
        picks = rng.integers(0, number, (min(step, resamples - start), number))
        found.append(totals[picks].sum(axis=1) / sizes[picks].sum(axis=1))
    return np.concatenate(found)


def paired_interval(
    first: Sequence[float],
    second: Sequence[float],
    resamples: int,
    seed: int,
    level: float = 0.95,
    groups: Sequence[Hashable] | None = None,
) -> Interval:
    """Return the mean of first - second over the same clips, with its interval. ValueError where the lengths differ."""
    if len(first) != len(second):
        raise ValueError(f"got {len(first)} and {len(second)} values, wanted the same clips in the same order")
    return mean_interval([a - b for a, b in zip(first, second, strict=True)], resamples, seed, level, groups)


def crossed_interval(
    values: Sequence[float],
    trainings: Sequence[Hashable],
    clips: Sequence[Hashable],
    resamples: int,
    seed: int,
    level: float = 0.95,
) -> Interval:
    """Return the mean of the values with an interval that other trainings and other clips are in.

    Trainings are drawn anew with replacement, then, for each one drawn, its clips likewise (Davison and Hinkley 1997,
    "Bootstrap Methods", section 3.8): clips are of their training, those of one say nothing of another's. One training
    with one clip is its own interval.

    Args:
        values: what was measured.
        trainings: of which training each value is, such as its seed.
        clips: of which of its training's clips each value is. A training with one name, such as None for what is
            measured of all clips at once, has no draw of clips.
        resamples: number of draws.
        seed: of the draws.
        level: share of the draws' means that lie inside.

    Raises:
        ValueError: for no value, a value that is not finite, lengths that differ, or a level outside (0, 1).
    """
    sample = _checked(values, trainings, clips, level)
    weights = _times_drawn(np.random.default_rng(seed), trainings, clips, resamples)
    return _between(sample.mean(), weights @ sample / weights.sum(axis=1), level, sample.size)


def crossed_ratio(
    above: Sequence[float],
    below: Sequence[float],
    trainings: Sequence[Hashable],
    clips: Sequence[Hashable],
    resamples: int,
    seed: int,
    level: float = 0.95,
) -> Interval:
    """Return the mean of `above` over that of `below`, of the same clips of the same trainings, with its interval.

    Both are drawn together, as in `crossed_interval`: what makes a clip hard for both sides is not counted as doubt.
    Its end is infinite where a draw's mean of `below` is 0. Raises ValueError as `crossed_interval` does.
    """
    one, other = (_checked(values, trainings, clips, level) for values in (above, below))
    weights = _times_drawn(np.random.default_rng(seed), trainings, clips, resamples)
    with np.errstate(divide="ignore"):
        return _between(one.mean() / other.mean(), (weights @ one) / (weights @ other), level, one.size)


def _checked(
    values: Sequence[float], trainings: Sequence[Hashable], clips: Sequence[Hashable], level: float
) -> np.ndarray:
    sample = np.asarray(values, np.float64)
    if not sample.size or not np.isfinite(sample).all() or not 0 < level < 1:
        raise ValueError(f"got values {list(values)[:4]}... and level {level}, wanted finite values and 0 < level < 1")
    if not sample.size == len(trainings) == len(clips):
        raise ValueError(
            f"got {sample.size} values, {len(trainings)} trainings, {len(clips)} clips, wanted one of each"
        )
    return sample


def _between(value: float, drawn: np.ndarray, level: float, count: int) -> Interval:
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(value), float(low), float(high), count)


def _times_drawn(
    rng: np.random.Generator, trainings: Sequence[Hashable], clips: Sequence[Hashable], resamples: int
) -> np.ndarray:
    """How often the clip of each value was drawn, with its training, [resamples, values]."""
    names = list(dict.fromkeys(trainings))
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), resamples)
    weights = np.empty((resamples, len(trainings)))
    for times, name in zip(drawn.T, names, strict=True):
        own = [place for place, training in enumerate(trainings) if training == name]
        numbers = {clip: number for number, clip in enumerate(dict.fromkeys(clips[place] for place in own))}
        # As many draws of all clips as the training was drawn, which are one multinomial together.
        counts = rng.multinomial(times * len(numbers), np.full(len(numbers), 1 / len(numbers)))
        weights[:, own] = counts[:, [numbers[clips[place]] for place in own]]
    return weights


def _numbers(names: Iterable[Hashable]) -> list[int]:
    """Number names by their first places."""
    known: dict[Hashable, int] = {}
    return [known.setdefault(name, len(known)) for name in names]
