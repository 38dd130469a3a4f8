"""Items that no run tries again, and a person's word on them."""

from collections.abc import Collection
from datetime import UTC, datetime

import pyarrow as pa

from equivdm.errors import UsageError
from pipelines.arrow import compute
from pipelines.config import AnyJob, DistillJob, EvaluateJob, PreprocessJob, TrainJob
from pipelines.evaluation.items import evaluation_of
from pipelines.inputs import endings, job_inputs
from pipelines.manifest import layout_of
from pipelines.store import Store, open_store
from pipelines.tables import Row, Table

LEFT_OUT = "left_out"
"""The rule by which a released item counts as filtered."""


def quarantined(config: AnyJob) -> list[Row]:
    """Return the rows of a job's items that stand in quarantine, by path."""
    return _quarantined(config, open_store(config.store))[1]


def take_out(config: AnyJob, names: Collection[str], again: bool) -> list[Row]:
    """Take items out of quarantine, and return their new rows.

    With `again` the next run tries each once more, and it returns to quarantine where that fails. Otherwise they are
    left out for good, and count as filtered.

    Args:
        config: the job.
        names: beginnings of keys or of paths, or classes of errors; none means all.
        again: try them again, or leave them out.

    Raises:
        UsageError: for a name that none of them has.
    """
    store = open_store(config.store)
    table, rows = _quarantined(config, store)
    taken = {row["key"]: row for row in rows if not names}
    for name in names:
        named = {row["key"]: row for row in rows if _is_named(row, name)}
        if not named:
            raise UsageError(
                f"got {name!r}, which names none of the {len(rows)} items in quarantine; wanted the beginning of a key "
                "or a path, or a class of errors, as `equivdm quarantine list` shows them"
            )
        taken |= named
    if not again:
        return table.append([_left_out(row) for row in taken.values()], over={"quarantined"})
    _probe_again(config, store, list(taken.values()))  # first: an item is pending, and fails as before, without
    return table.append([_once_more(row, config) for row in taken.values()], over={"quarantined"})


def _left_out(row: Row) -> Row:
    decided = {"outcome": "filtered", "rule": LEFT_OUT, "created": datetime.now(UTC)}
    return {**row, **decided, "attempt": row["attempt"] + 1}


def _once_more(row: Row, config: AnyJob) -> Row:
    """Return the row of an item that has one attempt left."""
    most = 1 if isinstance(config, (TrainJob, DistillJob)) else config.work.max_attempts
    decided: Row = {"outcome": "retry", "attempt": max(row["attempt"] + 1, most - 1)}
    return {**row, **decided} | ({"created": datetime.now(UTC)} if "created" in row else {})


def _probe_again(config: AnyJob, store: Store, rows: list[Row]) -> None:
    """Have the next run probe the videos again of which nothing is known but an error."""
    if isinstance(config, EvaluateJob):
        taken = {row["key"] for row in rows}
        probes = {misfit.probe for misfit in evaluation_of(config, store).misfits if misfit.key in taken}
        _once_more_all(config, store.table("probes"), store.table("probes").rows(keys=probes))
        return
    unknown = [row["content"] for row in rows if row.get("window", -1) < 0 and row.get("content")]
    contents = pa.array(unknown, pa.string())
    if not len(contents):
        return
    table = store.table("manifest" if isinstance(config, PreprocessJob) else "drives")
    named = table.read().filter(compute.field("content").isin(contents) & compute.field("error").is_valid())
    mine = layout_of(config) if isinstance(config, PreprocessJob) else None
    _once_more_all(config, table, [row for row in named.to_pylist() if row.get("layout") == mine])


def _once_more_all(config: AnyJob, table: Table, rows: list[Row]) -> None:
    """Give the latest of these rows, of videos that were probed, one attempt more."""
    states = table.states()
    latest = [row for row in rows if states[row["key"]] == (row["outcome"], row["attempt"])]
    table.append([_once_more(row, config) for row in latest], over={"done"})


def _quarantined(config: AnyJob, store: Store) -> tuple[Table, list[Row]]:
    table, items = job_inputs(config, store)
    parts = endings(table, items.keys, table.schema.names, {"quarantined"})
    rows = [row for part in parts for row in part.to_pylist()]
    return table, sorted(rows, key=lambda row: (row["path"], row["key"]))


def _is_named(row: Row, name: str) -> bool:
    return row["key"].startswith(name) or row["path"].startswith(name) or row["error"] == name
