"""The audit that closes every run: the items add up, and every committed object is there with its size and hash."""

import hashlib
import time
from collections.abc import Iterable, Iterator

from pipelines import distill, evaluate, preprocess, render, train
from pipelines.batch import Row, RunSummary, count
from pipelines.config import AnyJob, DistillJob, EvaluateJob, PreprocessJob, RenderJob, TrainJob
from pipelines.identity import content_id
from pipelines.models import WEIGHTS
from pipelines.progress import progress
from pipelines.store import Store, open_bytes, open_store
from pipelines.tables import Table, sha256_of


def audit(config: AnyJob) -> RunSummary:
    """Add a job's run up without computing anything: inputs == done + filtered + quarantined + pending.

    Every committed data file of the items is read and hashed, and every file that they name too; `problems` says what
    does not fit.
    """
    started = time.monotonic()
    store = open_store(config.store)
    table, items = _inputs(config, store)
    states = table.states()
    keys = {item["key"] for item in items}
    damaged = dict(_damaged_data_files(table, keys))
    columns = ("key", "path", "outcome", "error", "message", "file", "sha256", "folder", "weights")
    rows = table.rows([name for name in columns if name in table.schema.names], keys, without=damaged)
    problems = [*damaged.values(), *_damaged_objects(store, _objects(table, rows))]
    counts = {**count(items, states), "new": 0}
    failures = {
        row["key"]: (row["path"], row["error"], row["message"])
        for row in rows
        if row.get("outcome") in ("failed", "quarantined") and states[row["key"]].outcome == row["outcome"]
    }
    return RunSummary(f"audit {config.job}", time.monotonic() - started, counts, [*failures.values()], problems)


def _inputs(config: AnyJob, store: Store) -> tuple[Table, list[Row]]:
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


def _damaged_data_files(table: Table, keys: set[str]) -> Iterator[tuple[str, str]]:
    """Yield the name of each damaged data file and what is wrong with it."""
    files = [file for file in table.files() if file.key is None or file.key in keys]
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


def _objects(table: Table, rows: Iterable[Row]) -> list[tuple[str, str]]:
    """Return path and sha256 of the files that a table's rows name."""
    match table.name:
        case "videos":
            return [(row["file"], row["sha256"]) for row in rows if row["outcome"] == "done"]
        case "models":
            return [(f"{row['folder']}/{WEIGHTS}", row["weights"]) for row in rows]
    return []
