"""How long a batch job takes on machines of a given size: what its stages take of them, over what they have.

A formula, for plans; `python -m benchmarks.capacity` holds it against a simulation of the scheduler with 1,000 workers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil, log

from equivdm.errors import UsageError
from pipelines.intake import session

TASK_S = 0.006
"""Seconds of the driver for a task, of which it does one at a time: 5 to 6 ms on a core of an EPYC (docs/log.md)."""


@dataclass(frozen=True)
class Load:
    """What one stage has to do."""

    name: str
    items: float
    seconds: float
    """Mean time of an item on a worker."""
    cpus: float
    """That one worker reserves."""
    gpus: float = 0.0


@dataclass(frozen=True)
class Machines:
    """What a cluster has, all of it together."""

    cpus: float
    gpus: float = 0.0


@dataclass(frozen=True)
class Capacity:
    """What a job comes to on machines of a given size."""

    hours: float
    """By the clock, without the start of machines."""
    limit: str
    """What is at work all the time: CPUs, GPUs or driver."""
    busy: Mapping[str, float]
    """Share of the time that each of them is at work."""
    workers: Mapping[str, float]
    """How many workers of each stage are at work, on average: the `actors` that a stage on GPUs wants."""


def capacity(loads: Sequence[Load], machines: Machines) -> Capacity | None:
    """Return how long stages take, in this order, on these machines; None where they have nothing to do.

    Neighbours with the same needs run as one task. Times of items are taken to vary as much as their mean is large, and
    so long that the last of n workers ends ln n of them after the first.

    Raises UsageError where a stage needs what there is none of.
    """
    loads = [load for load in loads if load.items]
    if not loads:
        return None
    have = {"CPUs": machines.cpus, "GPUs": machines.gpus, "driver": 1.0}
    needs = {
        "CPUs": sum(load.items * load.seconds * load.cpus for load in loads),
        "GPUs": sum(load.items * load.seconds * load.gpus for load in loads),
        "driver": TASK_S * _tasks(loads),
    }
    for name, seconds in needs.items():
        if seconds and not have[name]:
            raise UsageError(f"--{name.lower()}: got none, wanted some, which stages of the job take")
    times = {name: seconds / have[name] for name, seconds in needs.items() if seconds}
    limit = max(times, key=lambda name: times[name])
    full = times[limit]
    workers = {load.name: min(load.items, load.items * load.seconds / full) for load in loads}
    executions = ceil(max(load.items for load in loads) / session(machines.cpus + machines.gpus))
    end = sum(load.seconds * (1 + log(max(1.0, workers[load.name]))) for load in loads)
    return Capacity(
        hours=(full + executions * end) / 3600,
        limit=limit,
        busy={name: seconds / (full + executions * end) for name, seconds in times.items()},
        workers=workers,
    )


def _tasks(loads: Sequence[Load]) -> float:
    alike = groupby(loads, key=lambda load: (load.cpus, load.gpus))
    return sum(max(load.items for load in group) for _, group in alike)
