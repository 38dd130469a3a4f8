"""What the batch jobs share: pending items, steps whose failures are rows, and the commit of receipts.

There is no framework here. A job builds a Ray Data pipeline of its own; `run_items` stands at its two ends.
"""

import functools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from equivdm.errors import EquivdmError, ItemError
from pipelines.config import Job, WorkConfig
from pipelines.progress import progress
from pipelines.ray_session import ray_session
from pipelines.tables import SETTLED, Receipt, State, Table

if TYPE_CHECKING:
    import ray.data

    from equivdm.metrics.bootstrap import Interval

Row = dict[str, Any]

ITEM_FAULTS = (EquivdmError, ValueError, ArithmeticError, LookupError, RuntimeError, MemoryError, OSError)
"""What may go wrong with one item. Anything else (a wrong name, a wrong type) is a fault of the program: it loses the
item's block, and the driver counts the item as crashed."""


def new_run() -> str:
    """Return a name for this run of a job: its time and a random part."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid4().hex[:8]}"


@dataclass(frozen=True)
class Run:
    """One call of a batch job."""

    job: str
    label: str
    """For the progress bar."""
    name: str = field(default_factory=new_run)
    """What its rows carry as `run`."""
    started: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class RunSummary:
    """What a batch job did, added up."""

    job: str
    seconds: float
    counts: Mapping[str, int]
    """inputs, done, filtered, quarantined, pending, and new (settled by this run)."""
    failures: Sequence[tuple[str, str, str]] = ()
    """(path, class, message) of this run's failures."""
    problems: Sequence[str] = ()
    """What an audit found wrong with committed objects."""
    means: Mapping[str, Mapping[str, "Interval"]] = field(default_factory=dict)
    """means[set of videos][metric], of an evaluation: the mean over clips with its confidence interval."""

    @property
    def ok(self) -> bool:
        """Whether nothing is pending, quarantined or damaged."""
        return not (self.counts["pending"] or self.counts["quarantined"] or self.problems)


def task_retries() -> dict[str, int]:
    """Return Ray's settings for a task: an item that kills its process may do so twice, not for ever."""
    return {"max_retries": 1}


def actor_pool(work: WorkConfig) -> dict[str, Any]:
    """Return the arguments of `map` for a pool of model actors; it lives through eight deaths of an actor."""
    import ray.data

    return {
        "compute": ray.data.ActorPoolStrategy(size=work.actors),
        "num_cpus": work.cpus_per_actor,
        "num_gpus": work.gpus_per_actor,
        "ray_remote_args_fn": _actor_retries,
    }


def _actor_retries() -> dict[str, int]:
    return {"max_restarts": 8, "max_task_retries": 2}


def run_items(
    run: Run,
    config: Job,
    items: Sequence[Row],
    table: Table,
    pipeline: Callable[["ray.data.Dataset"], "ray.data.Dataset"],
) -> RunSummary:
    """Bring a table up to date with the items: those that are not settled go through the pipeline, to receipts.

    With nothing to do no Ray is started.
    """
    work = pending(items, table.states(), run.name)
    committed: list[Receipt] = []
    if work:
        with ray_session(config.ray):
            receipts = pipeline(items_alone(work))
            committed = commit_stream(receipts, table, config.store.commit_every_s, run.label, len(work))
            committed += record_crashes(work, committed, table)
    return summarise(run, items, table, committed)


def pending(items: Iterable[Row], states: Mapping[str, State], run: str) -> list[Row]:
    """Return the items that are not settled, once a key, each with its `attempt` and `run`."""
    work = {}
    for item in items:
        state = states.get(item["key"])
        if state is None or state.outcome not in SETTLED:
            work[item["key"]] = {**item, "attempt": 1 + (state.attempt if state else 0), "run": run}
    return list(work.values())


def count(items: Iterable[Row], states: Mapping[str, State]) -> Counter[str]:
    """Add up a job: inputs == done + filtered + quarantined + pending, over distinct keys."""
    keys = {item["key"] for item in items}
    outcomes = Counter(states[key].outcome for key in keys if key in states and states[key].outcome in SETTLED)
    counts = Counter({"inputs": len(keys), "done": 0, "filtered": 0, "quarantined": 0, **outcomes})
    counts["pending"] = len(keys) - outcomes.total()
    return counts


def items_alone(items: Sequence[Row]) -> "ray.data.Dataset":
    """Return a dataset with a block for each item: a step that dies costs one item, not its neighbours.

    The blocks are made here, by the driver: a task that splits them would wait for a CPU, and for ever where model
    actors hold all there are.
    """
    import ray.data

    return ray.data.from_items(list(items), override_num_blocks=len(items))


def step(function: Callable[..., Row]) -> Callable[..., Row]:
    """Make a step of a pipeline out of `function(row, ...) -> new columns`: what fails becomes a row.

    A row that has an outcome already (it failed or was filtered earlier) passes untouched. Seconds add up over steps.
    """

    @functools.wraps(function)
    def run(row: Row, *args: Any, **kwargs: Any) -> Row:
        if row.get("outcome"):
            return row
        started = time.perf_counter()
        try:
            added = function(row, *args, **kwargs)
        except ITEM_FAULTS as fault:
            added = failure(fault, row["attempt"], row["max_attempts"])
        seconds = row.get("seconds", 0.0) + time.perf_counter() - started
        return {**row, **added, "seconds": seconds}

    return run


def failure(fault: BaseException, attempt: int, max_attempts: int) -> Row:
    """Return the outcome columns of a failed item: quarantined where trying again cannot help or was tried enough."""
    final = (isinstance(fault, ItemError) and fault.final) or attempt >= max_attempts
    return {
        "outcome": "quarantined" if final else "failed",
        "error": type(fault).__name__,
        "message": str(fault)[:2000],
    }


def settle(row: Row, table: Table, rows: Sequence[Row] | None = None) -> Row:
    """Write an item's row, or its several `rows`, whatever its outcome, and return the receipt as a plain row.

    The last step of a pipeline does this itself: a step of its own would wait for CPUs that the steps before it hold.
    """
    ended = {"outcome": row.get("outcome") or "done"}
    return asdict(table.write([table_row(one | ended, table) for one in rows or [row]], path=row["path"]))


def table_row(row: Row, table: Table) -> Row:
    """Return the columns of `row` that the table has, with the time of now."""
    return {name: row.get(name) for name in table.schema.names} | {"created": datetime.now(UTC)}


def commit_stream(dataset: "ray.data.Dataset", table: Table, every_s: float, label: str, total: int) -> list[Receipt]:
    """Run the pipeline and commit its receipts every few seconds. Returns what was committed.

    Whatever stops it (an error, Ctrl-C), the receipts that have arrived are committed first.
    """
    committed: list[Receipt] = []
    waiting: list[Receipt] = []
    last = time.monotonic()
    with progress(label, total) as advance:
        try:
            for row in dataset.iter_rows():
                waiting.append(Receipt(**row))
                advance(1)
                if time.monotonic() - last >= every_s:
                    committed += table.commit(waiting)
                    waiting, last = [], time.monotonic()
        finally:
            committed += table.commit(waiting)
    return committed


def record_crashes(work: Sequence[Row], committed: Iterable[Receipt], table: Table) -> list[Receipt]:
    """Commit a failed row for every item that got no receipt: its process died, or its block was lost."""
    arrived = {receipt.key for receipt in committed}
    states = table.states()  # another run may have settled an item while this one was under way
    lost = [item for item in work if item["key"] not in arrived]
    lost = [item for item in lost if item["key"] not in states or states[item["key"]].outcome not in SETTLED]
    fault = ItemError("the item left no outcome: its worker process died, or the program failed on it; see Ray's logs")
    rows = [{**item, **failure(fault, item["attempt"], item["max_attempts"]), "seconds": 0.0} for item in lost]
    return table.commit([table.write([table_row(row, table)], path=row["path"]) for row in rows])


def summarise(run: Run, items: Iterable[Row], table: Table, committed: Sequence[Receipt]) -> RunSummary:
    """Add up a finished run."""
    failed = [r for r in committed if r.outcome in ("failed", "quarantined")]
    return RunSummary(
        job=run.job,
        seconds=time.monotonic() - run.started,
        counts={**count(items, table.states()), "new": len(committed) - len(failed)},
        failures=[(r.path, r.error or "", r.message or "") for r in failed],
    )
