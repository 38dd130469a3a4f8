"""Means with confidence intervals, by resampling the clips (Efron's percentile bootstrap)."""

from collections.abc import Sequence
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
