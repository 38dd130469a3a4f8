"""Metrics of generated video: of one (METRICS), and of two sets of them (SET_METRICS).

Each says what it needs. What is not there, such as a network's weights, is never replaced: the metric is left out, and
`left_out` says why (docs/metrics.md).
"""

from collections.abc import Collection

from equivdm.arrays import Features
from equivdm.errors import UsageError
from equivdm.metrics.case import Case
from equivdm.metrics.metric import Metric, SetMetric
from equivdm.metrics.needs import available, weights_identity
from equivdm.metrics.registry import FEATURES, METRICS, SET_METRICS

__all__ = [
    "FEATURES",
    "METRICS",
    "OF_MOTION",
    "SET_METRICS",
    "Case",
    "Features",
    "Metric",
    "SetMetric",
    "available",
    "chosen",
    "left_out",
    "measure",
    "weights_identity",
]

OF_MOTION = tuple(name for name, metric in METRICS.items() if {"motion"}.issuperset(metric.needs))
"""Metrics of one video that need no more than the driving motion: every validation has them."""


def chosen(names: Collection[str] = ()) -> tuple[str, ...]:
    """Return the names, or all there are where none is given, in the order of a report.

    Raises UsageError for a name that is no metric's.
    """
    every = (*METRICS, *SET_METRICS)
    for name in names:
        if name not in every:
            raise UsageError(f"metrics: got {name!r}, wanted some of {', '.join(every)}")
    return tuple(name for name in every if name in names or not names)


def left_out(names: Collection[str], has: Collection[str]) -> dict[str, str]:
    """Return which of these metrics cannot be measured, each with a line that says what it lacks.

    Args:
        names: of METRICS and SET_METRICS.
        has: what there is: `Case.has`, or `available(weights)` and what all cases have of motion, reference, caption.
    """
    metrics = {**METRICS, **SET_METRICS}
    lacks = {name: [need for need in metrics[name].needs if need not in has] for name in names}
    return {name: f"{name}: needs {' and '.join(needs)}" for name, needs in lacks.items() if needs}


def measure(case: Case, names: Collection[str]) -> dict[str, float]:
    """Return some metrics of one generated video, of those in METRICS, in the order of the names.

    Raises:
        UsageError: where the case lacks what one of them needs (`left_out` tells before), or for weights that are not
            what they should be.
        ValueError: where the driving motion shows no pixel twice.
    """
    absent = left_out(names, case.has)
    if absent:
        raise UsageError(f"metrics: got a case in which {'; '.join(absent.values())}: give it, or leave the metric out")
    return {name: METRICS[name].function(case) for name in names}
