"""A simulation of a batch job's scheduler, at sizes that no machine here has.

It knows what the formula of `pipelines.capacity` does not: how long each item takes, that an item goes through its
stages one after the other, that tasks wait for a free worker, that the driver starts them one by one, and that a wave
ends before the next begins.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log1p, sqrt

import numpy as np


@dataclass(frozen=True)
class Stage:
    """A stand-in for a stage."""

    seconds: float
    """Mean time of an item."""
    pool: str
    """Workers that it runs on, by name; stages may share them."""


def simulate(
    stages: Sequence[Stage],
    workers: Mapping[str, int],
    items: int,
    *,
    wave: int,
    task_s: float = 0.0,
    start_s: float = 0.0,
    spread: float = 1.0,
    seed: int = 0,
) -> float:
    """Return the seconds that a job takes.

    Args:
        stages: that every item goes through, in this order.
        workers: how many there are of each pool.
        items: how many.
        wave: items that are worked on before the next ones begin.
        task_s: seconds of the driver for each task; it does one at a time.
        start_s: seconds that a wave's actors take to start.
        spread: standard deviation of an item's time in a stage over its mean; times are log-normal.
        seed: of the times.
    """
    random = np.random.default_rng(seed)
    now, left = 0.0, items
    while left:
        count = min(wave, left)
        times = [_times(random, stage.seconds, spread, count) for stage in stages]
        now = _wave(stages, workers, times, now + start_s, task_s)
        left -= count
    return now


def _times(random: np.random.Generator, mean: float, spread: float, count: int) -> list[float]:
    sigma = sqrt(log1p(spread**2))
    return (mean * np.exp(random.normal(-(sigma**2) / 2, sigma, count))).tolist()


def _wave(
    stages: Sequence[Stage], workers: Mapping[str, int], times: list[list[float]], now: float, task_s: float
) -> float:
    """Return when the last item is through. A free worker takes the item that is furthest."""
    waiting = [len(times[0])] + [0] * (len(stages) - 1)
    free = dict(workers)
    running: list[tuple[float, int]] = []
    driver, left = now, len(times[0])
    while left:
        for number in reversed(range(len(stages))):
            pool = stages[number].pool
            while waiting[number] and free[pool]:
                waiting[number] -= 1
                free[pool] -= 1
                driver = max(driver, now) + task_s
                heapq.heappush(running, (driver + times[number].pop(), number))
        now, number = heapq.heappop(running)
        free[stages[number].pool] += 1
        if number + 1 < len(stages):
            waiting[number + 1] += 1
        else:
            left -= 1
    return now
