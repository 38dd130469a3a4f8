"""Means with confidence intervals, by resampling clips, or trainings and clips (Efron's percentile bootstrap)."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A mean, the ends of its confidence interval, and how many values it is of."""

    mean: float
    low: float
    high: float
    count: int


def mean_interval(values: Sequence[float], resamples: int, seed: int, level: float = 0.95) -> Interval:
    """Return the mean of the values with its bootstrap interval; one value is its own interval.

    Raises ValueError for no value, a value that is not finite, or a level outside (0, 1).
    """
    sample = np.asarray(values, np.float64)
    if not sample.size or not np.isfinite(sample).all() or not 0 < level < 1:
        raise ValueError(f"got values {list(values)[:4]}... and level {level}, wanted finite values and 0 < level < 1")
    picks = np.random.default_rng(seed).integers(0, sample.size, (resamples, sample.size))
    low, high = np.quantile(sample[picks].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(sample.mean()), float(low), float(high), sample.size)


def paired_interval(
    first: Sequence[float], second: Sequence[float], resamples: int, seed: int, level: float = 0.95
) -> Interval:
    """Return the mean of first - second over the same clips, with its interval. ValueError where the lengths differ."""
    if len(first) != len(second):
        raise ValueError(f"got {len(first)} and {len(second)} values, wanted the same clips in the same order")
    return mean_interval([a - b for a, b in zip(first, second, strict=True)], resamples, seed, level)


def crossed_interval(
    values: Sequence[float],
    trainings: Sequence[Hashable],
    clips: Sequence[Hashable],
    resamples: int,
    seed: int,
    level: float = 0.95,
) -> Interval:
    """Return the mean of the values with an interval that other trainings and other clips are in.

    Trainings and clips are drawn anew, each with replacement and by itself; a value weighs as often as its training was
    drawn times its clip (Owen 2007, "The pigeonhole bootstrap"). One training and one clip are their own interval.

    Args:
        values: what was measured.
        trainings: of which training each value is, such as its seed.
        clips: of which clip each value is. The same clips may stand with every training, or each have its own.
        resamples: number of draws.
        seed: of the draws.
        level: share of the draws' means that lie inside.

    Raises:
        ValueError: for no value, a value that is not finite, lengths that differ, or a level outside (0, 1).
    """
    sample = np.asarray(values, np.float64)
    if not sample.size or not np.isfinite(sample).all() or not 0 < level < 1:
        raise ValueError(f"got values {list(values)[:4]}... and level {level}, wanted finite values and 0 < level < 1")
    if not sample.size == len(trainings) == len(clips):
        raise ValueError(
            f"got {sample.size} values, {len(trainings)} trainings, {len(clips)} clips, wanted one of each"
        )
    rng = np.random.default_rng(seed)
    weights = _times_drawn(rng, trainings, resamples) * _times_drawn(rng, clips, resamples)
    weights = weights[weights.any(axis=1)]  # clips of their own may leave a draw with nothing
    low, high = np.quantile(weights @ sample / weights.sum(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(sample.mean()), float(low), float(high), sample.size)


def _times_drawn(rng: np.random.Generator, names: Sequence[Hashable], resamples: int) -> np.ndarray:
    """How often the name of each value was drawn, [resamples, values]."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    drawn = rng.multinomial(len(numbers), np.full(len(numbers), 1 / len(numbers)), resamples)
    return drawn[:, [numbers[name] for name in names]].astype(np.float64)
