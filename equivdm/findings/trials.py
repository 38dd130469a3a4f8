"""The numbers of all trainings of an experiment, and their means."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import NamedTuple

from equivdm.metrics.bootstrap import Interval, crossed_interval, crossed_ratio

RESAMPLES = 2000
"""Draws of a bootstrap interval."""


class Trial(NamedTuple):
    """One number that was measured."""

    seed: int
    """Of the training; it names data, weights and noise."""
    variant: str
    """What differs between the models or inputs that are compared."""
    x: float | None
    """Place on the experiment's axis, where it has one."""
    metric: str
    clip: int | None
    """Number of the held-out clip; None for what is measured of all of them at once."""
    value: float


class Place(NamedTuple):
    """What a mean is of."""

    metric: str
    variant: str
    x: float | None


@dataclass(frozen=True)
class Trials:
    """The numbers of one experiment."""

    rows: Sequence[Trial]

    @classmethod
    def of(cls, rows: Iterable[Trial]) -> "Trials":
        """Return them seed by seed, each in the order in which it was measured."""
        return cls(sorted(rows, key=lambda row: row.seed))

    @cached_property
    def means(self) -> dict[Place, Interval]:
        """Mean over seeds and clips of each place, with its 95% interval: see `crossed_interval`."""
        grouped: dict[Place, list[Trial]] = {}
        for row in self.rows:
            grouped.setdefault(Place(row.metric, row.variant, row.x), []).append(row)
        return {place: _interval(found) for place, found in grouped.items()}

    def ratio(self, above: Place, below: Place) -> Interval | None:
        """Return the mean at one place over that at another, of what was measured at both: see `crossed_ratio`."""
        found = [self._values(place) for place in (above, below)]
        both = [unit for unit in found[0] if unit in found[1]]
        if not both:
            return None
        above_values, below_values = ([values[unit] for unit in both] for values in found)
        seeds, clips = [seed for seed, _ in both], [clip for _, clip in both]
        return crossed_ratio(above_values, below_values, seeds, clips, RESAMPLES, seed=0)

    def _values(self, place: Place) -> dict[tuple[int, int | None], float]:
        """What was measured at a place, by seed and clip; the mean where a clip was sampled several times."""
        found: dict[tuple[int, int | None], list[float]] = {}
        for row in self.rows:
            if Place(row.metric, row.variant, row.x) == place:
                found.setdefault((row.seed, row.clip), []).append(row.value)
        return {unit: fmean(values) for unit, values in found.items()}

    @cached_property
    def trainings(self) -> dict[Place, int]:
        """Number of seeds behind each mean."""
        found: dict[Place, set[int]] = {}
        for row in self.rows:
            found.setdefault(Place(row.metric, row.variant, row.x), set()).add(row.seed)
        return {place: len(seeds) for place, seeds in found.items()}

    @property
    def seeds(self) -> list[int]:
        return sorted({row.seed for row in self.rows})

    @property
    def clips(self) -> int:
        """Number of held-out clips of a training."""
        return len({row.clip for row in self.rows if row.clip is not None})

    def variants(self, metric: str) -> list[str]:
        """Return the variants that a metric was measured of, in the order in which they first come."""
        return list(dict.fromkeys(row.variant for row in self.rows if row.metric == metric))

    def places(self, metric: str, variant: str) -> list[float | None]:
        """Return where on the axis a variant was measured, ascending; None first."""
        found = {row.x for row in self.rows if row.metric == metric and row.variant == variant}
        return sorted(found, key=_known)


def _known(number: float | None) -> float:
    return float("-inf") if number is None else number


def _interval(rows: Sequence[Trial]) -> Interval:
    seeds, clips = [row.seed for row in rows], [row.clip for row in rows]
    return crossed_interval([row.value for row in rows], seeds, clips, RESAMPLES, seed=0)
