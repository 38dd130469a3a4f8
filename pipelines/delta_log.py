"""The log of a Delta table: what it says of data files, what is said of a file before it is in the log, one commit."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.transaction import AddAction

from pipelines.arrow import compute


@dataclass(frozen=True)
class Receipt:
    """What a worker hands to the driver: a data file that holds the row of one key, and that no reader sees yet."""

    table: str
    """Name of the table that the file is for."""
    key: str
    file: str
    """Name of the data file in the table's folder."""
    bytes: int


class DataFile(NamedTuple):
    """A committed data file, as the log has it. `key` is None where it holds several."""

    name: str
    bytes: int
    key: str | None


_SCHEMA = pa.schema([("name", pa.string()), ("bytes", pa.int64()), ("key", pa.string())])

NO_FILES = _SCHEMA.empty_table()
"""What the log of a table that does not exist says."""


def add_action(name: str, size: int, rows: int, key: str | None = None) -> AddAction:
    """Return the log entry of a data file; `key` where it holds one key only, so that the log alone tells it."""
    stats: dict[str, object] = {"numRecords": rows}
    if key is not None:
        stats |= {"minValues": {"key": key}, "maxValues": {"key": key}}
    return AddAction(name, size, {}, int(time.time() * 1000), True, json.dumps(stats))


def data_files(delta: DeltaTable) -> pa.Table:
    """Return name, bytes and key of the committed data files; the key is null where a file holds several."""
    actions = pa.table(delta.get_add_actions(flatten=True))
    key = actions["min.key"] if "min.key" in actions.column_names else pa.nulls(len(actions), pa.string())
    names, sizes, key = actions["path"].cast(pa.string()), actions["size_bytes"].cast(pa.int64()), key.cast(pa.string())
    if "max.key" in actions.column_names:
        single = compute.fill_null(compute.equal(key, actions["max.key"]), False)
        key = compute.if_else(single, key, pa.scalar(None, pa.string()))
    return pa.table([names, sizes, key], schema=_SCHEMA)


def open_log(url: str) -> DeltaTable | None:
    """Open a table as it is now, or return None where nobody has created it."""
    try:
        return DeltaTable(url, storage_options=storage_options(url))
    except TableNotFoundError:
        return None


def create_log(url: str, schema: pa.Schema) -> DeltaTable:
    """Create a table; where another run does so in the same moment, open that one."""
    options = storage_options(url)
    try:
        return DeltaTable.create(url, schema=schema, mode="ignore", storage_options=options)
    except DeltaError:  # the other run has; where it has not, opening says what is wrong
        return DeltaTable(url, storage_options=options)


def append(delta: DeltaTable, actions: Sequence[AddAction], schema: pa.Schema) -> None:
    """Commit data files as the next version of the table.

    Raises CommitFailedError where the table has moved on since it was opened; or where the very commit took effect, its
    answer was lost, and the client tried again: the log knows.
    """
    # Without max_commit_retries=0 a stale commit is rebased onto what another run has just committed, and would add
    # keys a second time.
    delta.create_write_transaction(
        list(actions),  # type: ignore[arg-type]
        mode="append",
        schema=schema,
        commit_properties=CommitProperties(max_commit_retries=0),
    )


_PATIENCE = {
    "connect_timeout": "10s",
    "timeout": "60s",  # of one request
    "max_retries": "8",
    "retry_timeout": "120s",  # after which a request is not tried again
    "backoff_config.max_backoff": "10s",
}


def storage_options(url: str) -> dict[str, str] | None:
    """Return what Delta Lake needs beside the usual AWS_* variables: patience, leave to use a plain-HTTP endpoint."""
    if not url.startswith("s3://"):
        return None
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    options = _PATIENCE | ({"AWS_ENDPOINT_URL": endpoint} if endpoint else {})
    return options | ({"AWS_ALLOW_HTTP": "true"} if endpoint.startswith("http://") else {})


def differences(log: pa.Table, found: Sequence[tuple[str, int]]) -> Iterator[str]:
    """Say which files of the log (as `data_files` gives it) a listing of names and sizes lacks, or has otherwise."""
    places = compute.index_in(log["name"], value_set=pa.array([name for name, _ in found], pa.string()))
    sizes = pa.array([size for _, size in found], pa.int64())
    log = log.append_column("found", sizes.take(places.combine_chunks()))
    whole = compute.fill_null(compute.equal(log["found"], log["bytes"]), False)
    for row in log.filter(compute.invert(whole)).to_pylist():
        got = "is missing" if row["found"] is None else f"got {row['found']} bytes"
        yield f"{row['name']}: {got}, the log says {row['bytes']} bytes"
