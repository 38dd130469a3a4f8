"""What an experiment is: the models that it needs, and what it measures of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from equivdm.arrays import Frames
from equivdm.backbones.base import DenoiserModule
from equivdm.study.config import ExperimentSpec, ModelSpec

Networks = Mapping[str, DenoiserModule]
"""Models by `ModelSpec.key`, ready to be asked (eval mode, on the spec's device)."""


class Row(NamedTuple):
    """One number that was measured."""

    variant: str
    """What differs between the models or inputs that are compared."""
    x: float | None
    """Place on the experiment's axis (t, beta, sampler steps ...), where it has one."""
    metric: str
    clip: int | None
    """Number of the held-out clip; None for what is measured of all of them at once."""
    value: float


@dataclass(frozen=True)
class Measured:
    """What an experiment found, for one seed."""

    rows: list[Row]
    videos: Mapping[str, Sequence[Frames]] = field(default_factory=dict)
    """A few videos of each variant, of the same held-out clips in the same order; `driving` are those clips."""
    notes: tuple[str, ...] = ()
    """What was left out, and why, a line each."""


@dataclass(frozen=True)
class Experiment:
    """One claim, and how it is put to the test."""

    name: str
    title: str
    claim: str
    """What the paper says, in one sentence."""
    axis: str | None
    """What `Row.x` is, for plots; None where rows have none."""
    models: Callable[[ExperimentSpec, int], Sequence[ModelSpec]]
    """Models for a seed; what they start from follows from `in_order`."""
    measure: Callable[[ExperimentSpec, int, Networks, Path], Measured]
    """(spec, seed, networks, folder for clips that are kept) -> what was found; a pure function of spec, seed, weights.
    """
    metrics: Sequence[str]
    """Metrics of its rows, the most telling first."""
