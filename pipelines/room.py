"""Whether a Ray has room for what a job asks of it: without, it would wait, and say nothing."""

import itertools
import sys
from collections.abc import Mapping

from equivdm.errors import UsageError
from pipelines.ray_session import is_embedded
from pipelines.settings import RayConfig, Resources

_KINDS = {"CPU": "cpus", "GPU": "gpus", "memory": "memory_mib"}
"""Ray's name of a resource, and that of the field that asks for it."""


def check_room(steps: Mapping[str, Resources], config: RayConfig) -> None:
    """Compare what the steps of a pipeline need at the least, by the names of their settings, with what Ray has.

    Raises UsageError for an embedded Ray, which never grows. To a cluster another machine may come: a line on stderr
    says what the job is going to wait for.
    """
    import ray

    have = ray.cluster_resources()
    for kind, field in _KINDS.items():
        wanted = least(steps, field)
        there = have.get(kind, 0.0) / (2**20 if kind == "memory" else 1)
        if wanted > there + 1e-6:
            _tell(kind, field, wanted, there, steps, config)


def least(steps: Mapping[str, Resources], field: str) -> float:
    """Return the least of a resource that all steps can run with: all actors, who stay, and the largest task.

    Neighbours with the same needs are one step, as `spread_in_turn` joins them.
    """
    groups = [needs for needs, _ in itertools.groupby(steps.values())]
    actors = sum((each.actors or 1) * getattr(each, field) for each in groups if each.on_actors)
    return actors + max((getattr(each, field) for each in groups if not each.on_actors), default=0.0)


def _tell(
    kind: str, field: str, wanted: float, there: float, steps: Mapping[str, Resources], config: RayConfig
) -> None:
    unit = "MiB of memory" if kind == "memory" else f"{kind}s"
    asked = ", ".join(
        f"{name} {f'{each.actors or 1} x ' if each.on_actors else ''}{getattr(each, field):g}"
        for name, each in steps.items()
        if getattr(each, field)
    )
    what = f"got steps that need {wanted:g} {unit} at once ({asked}), but Ray has {there:g}"
    if is_embedded(config):
        more = ", or raise ray.cpus" if kind == "CPU" else ""
        raise UsageError(f"{what}: lower what they take (`work`, or `fit.parallel`){more}")
    sys.stderr.write(f"equivdm: {what}: waiting for machines to join\n")
