"""How a metric is computed and read."""

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from equivdm.arrays import Features, Frames
from equivdm.metrics.case import Case
from equivdm.metrics_config import WeightsConfig

Better = Literal["higher", "lower", "neither"]
"""`neither`: it describes; compare it with the driving videos' own."""


FeaturesOf = Callable[[Frames, WeightsConfig, str], Features]
"""(frames of one video, weights, torch device) -> a row a frame, or one a clip."""


class Metric(NamedTuple):
    """A metric of one video."""

    function: Callable[[Case], float]
    title: str
    unit: str
    better: Better
    needs: tuple[str, ...]
    """`motion`, `tracks`, `reference`, `caption`, `sampling` of the case; `weights.NAME` of nets; `package NAME`."""
    about: str
    """What it says, for readers."""


class SetMetric(NamedTuple):
    """A metric that compares two sets of videos."""

    features: str
    """Name in FEATURES: what is compared of each video."""
    compare: Callable[[Iterable[Features], Iterable[Features]], float]
    """(features of the generated videos, of the reference videos; in parts of any size) -> value."""
    title: str
    unit: str
    better: Better
    needs: tuple[str, ...]
    """As of a metric."""
    about: str
    """What it says, for readers."""
