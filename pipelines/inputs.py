"""What a job of any kind works on, for those who look at it from outside: audit, plan, status, quarantine."""

from collections.abc import Collection, Iterator, Sequence

import pyarrow as pa

from pipelines import distill, evaluate, preprocess, render, reproduce, train
from pipelines.arrow import compute
from pipelines.batch import Items
from pipelines.config import AnyJob, DistillJob, EvaluateJob, PreprocessJob, RenderJob, ReproduceJob, TrainJob
from pipelines.store import Store
from pipelines.tables import Table


def job_inputs(config: AnyJob, store: Store) -> tuple[Table, Items]:
    """Return the table and the items of a job of any kind, as the store knows them."""
    match config:
        case PreprocessJob():
            return preprocess.inputs(config, store)
        case TrainJob():
            return train.inputs(config, store)
        case DistillJob():
            return distill.inputs(config, store)
        case RenderJob():
            return render.inputs(config, store)
        case EvaluateJob():
            return evaluate.inputs(config, store)
        case ReproduceJob():
            return reproduce.inputs(config, store)


def job_parts(config: AnyJob, store: Store) -> dict[str, set[str]]:
    """Return the keys, by table, of what a job keeps on the way to its items beside what their rows name."""
    match config:
        case RenderJob() if config.source:
            return render.parts(config, store)
        case EvaluateJob():
            return evaluate.parts(config, store)
    return {}


_BATCH = 250_000
"""Rows of a table that are read at once."""


def endings(table: Table, keys: pa.Array, columns: Sequence[str], outcomes: Collection[str]) -> Iterator[pa.Table]:
    """Yield, part by part, the rows that say how those of the keys stand that ended so; earlier attempts are left out.

    A table without outcomes (models) yields nothing.
    """
    if "outcome" not in table.schema.names:
        return
    states, wanted = table.states(), pa.array(sorted(outcomes))
    for part in table.batches(list(dict.fromkeys([*columns, "key", "outcome", "attempt"])), _BATCH):
        found = part.filter(compute.is_in(part["outcome"], value_set=wanted))
        found = found.filter(compute.is_in(found["key"], value_set=keys))
        known = states.lookup(found["key"])
        latest = [compute.equal(found[name], known[name]) for name in ("outcome", "attempt")]
        yield found.filter(compute.and_(*latest))
