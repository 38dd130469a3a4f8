"""The audit that closes every run: the items add up, and every committed object is there with its size and hash."""

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence

from pipelines.batch import RunSummary, count
from pipelines.config import AnyJob
from pipelines.delta_log import DataFile
from pipelines.identity import content_id
from pipelines.inputs import job_inputs, job_parts
from pipelines.models import model_files
from pipelines.progress import progress
from pipelines.schemas import STAGES
from pipelines.store import Store, open_bytes, open_store
from pipelines.tables import Row, Table, sha256_of


def audit(config: AnyJob) -> RunSummary:
    """Add a job's run up without computing anything: inputs == done + filtered + quarantined + pending.

    Every committed data file of the items is read and hashed, and every file that they name too; `problems` says what
    does not fit.
    """
    started = time.monotonic()
    store = open_store(config.store)
    table, items = job_inputs(config, store)
    damaged = dict(_damaged_data_files(table, table.files()))
    states = table.states(without=damaged)
    columns = ("key", "path", "outcome", "error", "message", "file", "sha256", "folder", "weights", *STAGES)
    rows = table.rows([name for name in columns if name in table.schema.names], items.keys, without=damaged)
    problems = [
        *damaged.values(),
        *_damaged_parts(store, rows),
        *_damaged_on_the_way(config, store),
        *_damaged_objects(store, _objects(store, table, rows)),
    ]
    counts = {**count(items.keys, states), "new": 0}
    failures = {
        row["key"]: (row["path"], row["error"], row["message"])
        for row in rows
        if row.get("outcome") in ("failed", "quarantined") and states[row["key"]].outcome == row["outcome"]
    }
    return RunSummary(f"audit {config.job}", time.monotonic() - started, counts, [*failures.values()], problems)


def _damaged_parts(store: Store, rows: Sequence[Row]) -> Iterator[str]:
    """Say what is wrong with the stages' rows that finished clips name."""
    for stage in STAGES:
        named = {row[stage] for row in rows if row.get(stage)}
        if not named:
            continue
        table = store.table(stage)
        files = [file for file in table.files() if file.key in named]
        yield from dict(_damaged_data_files(table, files)).values()
        if missing := len(named) - len({file.key for file in files}):
            yield f"{stage}: {missing} rows that clips name are not in the table"


def _damaged_on_the_way(config: AnyJob, store: Store) -> Iterator[str]:
    """Say what is wrong with what long driving videos are rendered from, as far as it is there."""
    for name, keys in job_parts(config, store).items():
        table = store.table(name)
        yield from dict(_damaged_data_files(table, [file for file in table.files() if file.key in keys])).values()


def _damaged_data_files(table: Table, files: Sequence[DataFile]) -> Iterator[tuple[str, str]]:
    """Yield the name of each damaged data file and what is wrong with it."""
    with progress(f"audit {table.name}", len(files)) as advance:
        for file in files:
            advance(1)
            try:
                data = table.read_file(file.name)
            except OSError as error:
                yield file.name, f"{table.name}/{file.name}: cannot be read ({error})"
                continue
            if len(data) != file.bytes:
                yield file.name, f"{table.name}/{file.name}: got {len(data)} bytes, the log says {file.bytes}"
            elif hashlib.sha256(data).hexdigest() != sha256_of(file.name):
                yield file.name, f"{table.name}/{file.name}: its bytes have changed since it was committed"


def _damaged_objects(store: Store, objects: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Say what is wrong with the files that rows name, given their paths and hashes."""
    for file, sha256 in objects:
        try:
            with open_bytes(store.filesystem, store.path(file)) as stream:
                digest = content_id(stream)
        except OSError as error:
            yield f"{file}: cannot be read ({error})"
            continue
        if digest != sha256:
            yield f"{file}: its bytes have changed since it was committed"


def _objects(store: Store, table: Table, rows: Iterable[Row]) -> list[tuple[str, str]]:
    """Return path and sha256 of the files that a table's rows name."""
    match table.name:
        case "videos":
            return [(row["file"], row["sha256"]) for row in rows if row["outcome"] == "done"]
        case "trials":
            return [(row["file"], row["sha256"]) for row in rows if row["outcome"] == "done" and row["file"]]
        case "models":
            return [file for row in rows for file in model_files(store, row)]
    return []
