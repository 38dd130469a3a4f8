"""Delta Lake tables with one rule: a key is settled once.

Workers write data files and hand on receipts; the driver commits them. A commit is a compare-and-swap on the table's
version: a stale one is refused, re-reads the log, drops what another run has settled meanwhile, and tries again.

A data file's name ends with the sha256 of its bytes, and the log keeps its size, so that an audit can prove both. Files
of one item carry the item's key, outcome and attempt as statistics: reading the log alone says what is settled.
"""

import hashlib
import io
import json
import os
import time
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, cast

import fsspec
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction

from equivdm.errors import EquivdmError
from pipelines.schemas import SCHEMAS

SETTLED = frozenset({"done", "filtered", "quarantined"})
"""Outcomes that no run tries again; a `failed` item is tried by the next run."""

_COMMIT_TRIES = 100


class State(NamedTuple):
    """What a table says of one key."""

    outcome: str
    attempt: int


@dataclass(frozen=True)
class Receipt:
    """What a worker hands to the driver: an item's outcome and the data file that holds its rows."""

    key: str
    outcome: str
    attempt: int
    file: str
    """Name of the data file in the table's folder."""
    bytes: int
    rows: int
    path: str = ""
    """Of the video, for people."""
    error: str | None = None
    message: str | None = None


class DataFile(NamedTuple):
    """A committed data file, as the log has it. `key` is None where it holds several."""

    name: str
    bytes: int
    key: str | None
    state: State | None


@dataclass(frozen=True)
class Table:
    """One Delta table. It need not exist: an absent one is empty, and the first commit creates it."""

    name: str
    url: str
    folder: str
    filesystem: fsspec.AbstractFileSystem

    @cached_property
    def schema(self) -> pa.Schema:
        """The schema of `pipelines.schemas`."""
        return SCHEMAS[self.name]

    # Writing

    def write(self, rows: Sequence[dict[str, Any]], path: str = "") -> Receipt:
        """Write the rows of one item to a data file. No reader sees it until `commit`.

        The rows must share `key`, `outcome` and `attempt`; columns that are left out are null.
        """
        name, size = self._write_file(rows)
        first = rows[0]
        return Receipt(
            key=first["key"],
            outcome=first.get("outcome", "done"),
            attempt=first.get("attempt", 1),
            file=name,
            bytes=size,
            rows=len(rows),
            path=path,
            error=first.get("error"),
            message=first.get("message"),
        )

    def commit(self, receipts: Sequence[Receipt]) -> list[Receipt]:
        """Make the receipts' files part of the table, but for keys that are settled already.

        Returns what was committed. Files of dropped receipts stay outside the table, as orphans.
        """
        for _ in range(_COMMIT_TRIES):
            states, delta = self._snapshot()
            fresh: dict[str, Receipt] = {}
            for receipt in receipts:
                state = states.get(receipt.key)
                if state is None or (state.outcome not in SETTLED and state.attempt < receipt.attempt):
                    fresh.setdefault(receipt.key, receipt)
            if not fresh or self._swap(delta, [_add_action(receipt) for receipt in fresh.values()]):
                return list(fresh.values())
        raise EquivdmError(f"table {self.name}: {_COMMIT_TRIES} commits in a row met another writer; run the job again")

    def append(self, rows: Sequence[dict[str, Any]]) -> int:
        """Write and commit rows of many keys, one file in all, but for keys that are in the table already.

        Returns the number of rows that were added. For small rows that the driver itself makes.
        """
        for _ in range(_COMMIT_TRIES):
            states, delta = self._snapshot()
            fresh = [row for row in rows if row["key"] not in states]
            if not fresh:
                return 0
            name, size = self._write_file(fresh)
            stats = json.dumps({"numRecords": len(fresh)})
            if self._swap(delta, [AddAction(name, size, {}, _now_ms(), True, stats)]):
                return len(fresh)
        raise EquivdmError(f"table {self.name}: {_COMMIT_TRIES} commits in a row met another writer; run the job again")

    # Reading

    def states(self) -> dict[str, State]:
        """Return the latest state of every key in the table."""
        return self._snapshot()[0]

    def files(self) -> list[DataFile]:
        """Return the committed data files."""
        delta = self._open()
        return [] if delta is None else list(_data_files(delta))

    def read(
        self,
        columns: Sequence[str] | None = None,
        keys: Iterable[str] | None = None,
        without: Container[str] = (),
    ) -> pa.Table:
        """Read the committed rows, all or those of the given keys, in an order that does not depend on commits.

        Data files named in `without` are left out: an audit knows that they are damaged.
        """
        wanted = None if keys is None else set(keys)
        files = [file for file in self.files() if file.name not in without]
        names = [file.name for file in files if wanted is None or file.key is None or file.key in wanted]
        columns = list(columns or self.schema.names)
        if not names:
            return self.schema.empty_table().select(columns)
        table = self._dataset(names).to_table(columns=list(dict.fromkeys([*columns, "key"])))
        if wanted is not None:
            table = table.filter(ds.field("key").isin(sorted(wanted)))
        order = [("key", "ascending")] + [("metric", "ascending")] * ("metric" in table.column_names)
        return table.sort_by(order).select(columns)

    def rows(
        self,
        columns: Sequence[str] | None = None,
        keys: Iterable[str] | None = None,
        without: Container[str] = (),
    ) -> list[dict[str, Any]]:
        """Read as `read` does, as plain dictionaries."""
        return self.read(columns, keys, without).to_pylist()

    def read_file(self, name: str) -> bytes:
        """Return a data file's bytes, for an audit."""
        return cast(bytes, self.filesystem.cat_file(f"{self.folder}/{name}"))

    # Inside

    def _dataset(self, names: Sequence[str]) -> ds.Dataset:
        paths = [f"{self.folder}/{name}" for name in names]
        return ds.dataset(paths, schema=self.schema, filesystem=self.filesystem, format="parquet")

    def _open(self) -> DeltaTable | None:
        try:
            return DeltaTable(self.url, storage_options=storage_options(self.url))
        except TableNotFoundError:
            return None

    def _create(self) -> DeltaTable:
        options = storage_options(self.url)
        try:
            return DeltaTable.create(self.url, schema=self.schema, mode="ignore", storage_options=options)
        except DeltaError:  # another run has created it in this moment; where it has not, opening says what is wrong
            return DeltaTable(self.url, storage_options=options)

    def _snapshot(self) -> tuple[dict[str, State], DeltaTable]:
        delta = self._open()
        if delta is None:
            self.filesystem.makedirs(self.folder, exist_ok=True)
            delta = self._create()
        states: dict[str, State] = {}
        mixed = []
        for file in _data_files(delta):
            if file.key is not None and file.state is not None:
                _settle(states, file.key, file.state)
            else:
                mixed.append(file.name)
        if mixed:
            for key in self._dataset(mixed).to_table(columns=["key"])["key"].unique().to_pylist():
                _settle(states, key, State("done", 1))
        return states, delta

    def _write_file(self, rows: Sequence[dict[str, Any]]) -> tuple[str, int]:
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(list(rows), schema=self.schema), sink, compression="zstd")
        data = sink.getvalue()
        name = f"{rows[0]['key'][:16]}-{hashlib.sha256(data).hexdigest()}.parquet"
        self.filesystem.makedirs(self.folder, exist_ok=True)
        self.filesystem.pipe_file(f"{self.folder}/{name}", data)
        return name, len(data)

    def _swap(self, delta: DeltaTable, actions: list[AddAction]) -> bool:
        # max_commit_retries=0 makes the commit fail when the table has moved on, instead of being rebased onto it:
        # a rebased append would add keys that the other run has just settled.
        try:
            delta.create_write_transaction(
                actions,  # type: ignore[arg-type]
                mode="append",
                schema=self.schema,
                commit_properties=CommitProperties(max_commit_retries=0),
            )
        except CommitFailedError:
            return False
        return True


def sha256_of(name: str) -> str:
    """Return the sha256 that a data file's name promises."""
    return name.removesuffix(".parquet").rpartition("-")[2]


def storage_options(url: str) -> dict[str, str] | None:
    """Return what Delta Lake needs beside the usual AWS_* variables: leave to use a plain-HTTP endpoint that is set."""
    if not url.startswith("s3://"):
        return None
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    options = {"AWS_ENDPOINT_URL": endpoint} if endpoint else {}
    return options | ({"AWS_ALLOW_HTTP": "true"} if endpoint.startswith("http://") else {})


def _add_action(receipt: Receipt) -> AddAction:
    values = {"key": receipt.key, "outcome": receipt.outcome, "attempt": receipt.attempt}
    stats = {"numRecords": receipt.rows, "minValues": values, "maxValues": values}
    return AddAction(receipt.file, receipt.bytes, {}, _now_ms(), True, json.dumps(stats))


def _data_files(delta: DeltaTable) -> Iterator[DataFile]:
    actions = pa.table(delta.get_add_actions(flatten=True))
    for action in actions.to_pylist():
        key, outcome = action.get("min.key"), action.get("min.outcome")
        if key is None or outcome is None or key != action.get("max.key"):
            yield DataFile(action["path"], action["size_bytes"], None, None)
        else:
            yield DataFile(action["path"], action["size_bytes"], key, State(outcome, action.get("min.attempt") or 1))


def _settle(states: dict[str, State], key: str, state: State) -> None:
    known = states.get(key)
    if known is None or (known.outcome not in SETTLED and state.attempt >= known.attempt):
        states[key] = state


def _now_ms() -> int:
    return int(time.time() * 1000)
