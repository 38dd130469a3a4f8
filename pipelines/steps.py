"""What the steps of the batch jobs share: failures become rows, where a step runs, and what an item leaves behind."""

import functools
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast

from equivdm.errors import EquivdmError, ItemError
from pipelines.allocator import keep_memory
from pipelines.patience import CLIENT_FAULTS, is_passing
from pipelines.settings import Resources
from pipelines.tables import Row, Table
from pipelines.tally import SKIPPED, Reporter

if TYPE_CHECKING:
    import ray.data

Result = TypeVar("Result")

ITEM_FAULTS = (
    EquivdmError,
    ValueError,
    ArithmeticError,
    LookupError,
    RuntimeError,
    MemoryError,
    OSError,
    *CLIENT_FAULTS,
)
"""What may go wrong with one item; those of S3's clients are no OSErrors. Anything else (a wrong name, a wrong
type) is a fault of the program: it loses the item's block, and the driver counts the item as crashed."""

NOBODY = Reporter("")
"""Where steps report outside Ray."""


def step(name: str) -> Callable[[Callable[..., Row | None]], Callable[..., Row]]:
    """Make a step of a pipeline out of `function(row, ...) -> new columns`: what fails becomes a row.

    A row that has an outcome already (it failed or was filtered earlier) passes untouched, and so does one for which
    the function returns None: it has nothing to do there. Seconds add up over steps; `reporter=` is told of each item,
    under the step's name.
    """

    def decorate(function: Callable[..., Row | None]) -> Callable[..., Row]:
        @functools.wraps(function)
        def run(row: Row, *args: Any, reporter: Reporter = NOBODY, **kwargs: Any) -> Row:
            if row.get("outcome"):
                reporter.report(name, SKIPPED)
                return row
            started = time.perf_counter()
            try:
                added = function(row, *args, **kwargs)
            except ITEM_FAULTS as fault:
                added = failure(fault, row["attempt"], row["max_attempts"])
            if added is None:
                reporter.report(name, SKIPPED)
                return row
            seconds = time.perf_counter() - started
            reporter.report(
                name, added.get("outcome") or "done", seconds, bytes_out=written({**row, **added}) - written(row)
            )
            return {**row, **added, "seconds": row.get("seconds", 0.0) + seconds}

        return run

    return decorate


def written(row: Row) -> int:
    """Return the bytes of the parts that an item has written so far."""
    return sum(part["bytes"] for part in row.get("parts") or ())


def failure(fault: BaseException, attempt: int, max_attempts: int) -> Row:
    """Return the outcome columns of a failed item: quarantined where trying again cannot help or was tried enough.

    Three nights with a store that is down are no reason to give an item up: `passing` says that a fault is of the kind.
    """
    final = (isinstance(fault, ItemError) and fault.final) or (attempt >= max_attempts and not is_passing(fault))
    return {
        "outcome": "quarantined" if final else "failed",
        "error": type(fault).__name__,
        "message": str(fault)[:2000],
        "passing": is_passing(fault),
    }


def put(row: Row, table: Table, key: str, **columns: object) -> Row:
    """Write a row of a stage's table, and return the item's `parts` with its receipt: the driver commits it."""
    return with_part(row, receipt_of(table, key, row["run"], **columns))


def receipt_of(table: Table, key: str, run: str, **columns: object) -> Row:
    """Write a row of a stage's table, and return its receipt's fields."""
    return asdict(table.write({"key": key, "run": run, "created": datetime.now(UTC), **columns}))


def with_part(row: Row, receipt: Row) -> Row:
    """Return the item's `parts` with one more, given by its receipt's fields."""
    return {"parts": [*(row.get("parts") or ()), receipt]}


def settle(row: Row, table: Table, rows: Sequence[Row] | None = None) -> Row:
    """Return what the driver commits of an item: its row, or its several `rows`, however it ended, and its parts."""
    ended = {"outcome": row.get("outcome") or "done"}
    settled = [table_row({**row, **one, **ended}, table) for one in rows or [{}]]
    return {"rows": settled, "parts": list(row.get("parts") or ())}


def table_row(row: Row, table: Table) -> Row:
    """Return the columns of `row` that the table has, with the time of now."""
    return {name: row.get(name) for name in table.schema.names} | {"created": datetime.now(UTC)}


class OnActor:
    """A step on an actor, which lives on and keeps what the step keeps in its process, such as a network."""

    def __init__(self, function: Callable[[Row], Any]) -> None:
        self._function = function

    def __call__(self, row: Row) -> Any:
        """Run the step."""
        return self._function(row)


def spread_in_turn(
    items: "ray.data.Dataset", steps: Sequence[tuple[Callable[..., Row], Resources]], **arguments: object
) -> "ray.data.Dataset":
    """Append steps to a pipeline; neighbours with the same needs run as one task.

    They are joined here: Ray joins no steps that bound their retries, and frames would go through its object store.
    """
    for resources, joined in itertools.groupby(steps, key=lambda each: each[1]):
        functions = [function for function, _ in joined]
        items = spread(items, in_turn, resources, functions=functions, **arguments)
    return items


def in_turn(row: Row, functions: Sequence[Callable[..., Row]], **arguments: object) -> Row:
    """Run steps one after the other."""
    for function in functions:
        row = function(row, **arguments)
    return row


def spread(
    items: "ray.data.Dataset", function: Callable[..., Row], resources: Resources, **arguments: object
) -> "ray.data.Dataset":
    """Append a step to a pipeline: as tasks, or on actors where it has GPUs or a number of actors."""
    work = functools.partial(_in_worker, function, **arguments)
    if resources.on_actors:
        return items.map(cast(Any, OnActor), fn_constructor_args=(work,), **actor_pool(resources))
    return items.map(cast(Any, work), ray_remote_args_fn=_task_retries, **_needs(resources))


def spread_apart(
    items: "ray.data.Dataset", function: Callable[..., Iterator[Row]], resources: Resources, **arguments: object
) -> "ray.data.Dataset":
    """Append a step that yields several rows an item, such as parts, and last the item itself, settled.

    Each row travels as soon as it is there; Ray would gather 128 MiB of them first.
    """
    work = functools.partial(_in_worker, function, **arguments)
    if resources.on_actors:
        apart = items.flat_map(cast(Any, OnActor), fn_constructor_args=(work,), **actor_pool(resources))
    else:
        apart = items.flat_map(cast(Any, work), ray_remote_args_fn=_task_retries, **_needs(resources))
    apart.context.target_max_block_size = 1
    return apart


def _in_worker(function: Callable[..., Result], row: Row, **arguments: object) -> Result:
    keep_memory()
    return function(row, **arguments)


def actor_pool(resources: Resources) -> dict[str, Any]:
    """Return the arguments of `map` for a pool of actors; it lives through eight deaths of an actor."""
    import ray.data

    pool = ray.data.ActorPoolStrategy(size=resources.actors or 1)
    return {"compute": pool, "ray_remote_args_fn": _actor_retries, **_needs(resources)}


def _needs(resources: Resources) -> dict[str, Any]:
    needs: dict[str, Any] = {"num_cpus": resources.cpus}
    needs |= {"num_gpus": resources.gpus} if resources.gpus else {}
    return needs | ({"memory": resources.memory_mib * 2**20} if resources.memory_mib else {})


# An item that kills its process may do so twice, not for ever.


def _task_retries() -> dict[str, int]:
    return {"max_retries": 1}


def _actor_retries() -> dict[str, int]:
    return {"max_restarts": 8, "max_task_retries": 2}
