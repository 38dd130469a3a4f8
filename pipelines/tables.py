"""Delta Lake tables with one rule: a key is settled once.

Large rows (tensors) are written by workers, a data file each, and enter the table when the driver commits their
receipts; the log keeps their keys as statistics, so that reading the log alone says which there are. Small rows (how an
item ended) are handed to the driver, which appends them, many to a data file. Either way a commit is a compare-and-swap
on the table's version: a stale one is refused, re-reads the log, drops what another run has settled meanwhile, and
tries again.

A data file's name ends with the sha256 of its bytes, and the log keeps its size, so that an audit can prove both.
"""

import hashlib
import io
import posixpath
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction

from equivdm.errors import EquivdmError
from pipelines.arrow import compute
from pipelines.delta_log import (
    NO_FILES,
    DataFile,
    Receipt,
    add_action,
    append,
    create_log,
    data_files,
    differences,
    open_log,
)
from pipelines.kept_log import KeptLog
from pipelines.patience import FAULTS, Patience, patiently
from pipelines.schemas import SCHEMAS
from pipelines.states import SETTLED, Row, States, fresh_rows, states_of

_PARQUET = ds.ParquetFileFormat(
    default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True)
)
"""Bytes that have changed are an error, and never other numbers. Files without checksums are read as they are."""

_COMMIT_TRIES = 100


@dataclass(frozen=True)
class Table:
    """One Delta table. It need not exist: an absent one is empty, and the first commit creates it."""

    name: str
    url: str
    folder: str
    filesystem: fsspec.AbstractFileSystem
    _read: dict[str, pa.Table] = field(default_factory=dict, compare=False, repr=False)
    """States of data files with several keys, by name: a file never changes, so each is read once."""
    _beside: dict[str, "Table"] = field(default_factory=dict, compare=False, repr=False)
    """The other tables of the store that were asked for, by name."""

    def __post_init__(self) -> None:
        """Make the lock of the log, before there are threads that would each make one."""
        _ = self._log

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel without what was read."""
        return Table, (self.name, self.url, self.folder, self.filesystem)

    @cached_property
    def schema(self) -> pa.Schema:
        """The schema of `pipelines.schemas`."""
        return SCHEMAS[self.name]

    def beside(self, name: str) -> "Table":
        """Return another table of the same store; it keeps what it reads, too."""
        self._beside.setdefault(self.name, self)
        if name not in self._beside:
            self._beside[name] = replace(
                self, name=name, url=_sibling(self.url, name), folder=_sibling(self.folder, name), _read={}
            )
        return self._beside[name]

    @cached_property
    def _log(self) -> KeptLog:
        return KeptLog(lambda: open_log(self.url) or self._create(), self._states)

    # Writing

    def write(self, row: Row) -> Receipt:
        """Write a row of its own data file. No reader sees it until `commit`. Columns that are left out are null."""
        name, size = self._write_file([row])
        return Receipt(self.name, row["key"], name, size)

    def commit(self, receipts: Sequence[Receipt]) -> list[Receipt]:
        """Make the receipts' files part of the table, but for keys that it has already.

        Returns those whose files the table holds then. Files of dropped receipts stay outside the table, as orphans.
        """
        if not receipts:
            return []
        with self._log.alone():
            return self._commit({receipt.key: receipt for receipt in reversed(receipts)})

    def _commit(self, unique: Mapping[str, Receipt]) -> list[Receipt]:
        patience = Patience(self.url)
        for _ in range(_COMMIT_TRIES):
            delta, states = self._now()
            known = states.lookup(pa.array(unique.keys(), pa.string()))["file"].to_pylist()
            fresh = [receipt for receipt, file in zip(unique.values(), known, strict=True) if file is None]
            # A file of ours that is there was committed by an earlier try, whose answer was lost.
            held = [receipt for receipt, file in zip(unique.values(), known, strict=True) if file == receipt.file]
            if not fresh:
                return held
            if self._swap(delta, [add_action(r.file, r.bytes, 1, r.key) for r in fresh], patience):
                keys, files = ([getattr(r, name) for r in fresh] for name in ("key", "file"))
                self._log.added(states_of(_column(keys), file=_column(files)))
                return held + fresh
        return self._give_up()

    def append(self, rows: Sequence[Row], over: Iterable[str] = ()) -> list[Row]:
        """Write and commit rows of any number of keys, but for keys that are settled.

        The rows of one key share its outcome and attempt (done and 1 where they are not given). Returns the rows that
        were added: those of keys that are new, or that ended otherwise in an earlier attempt. `over` names settled
        outcomes that these rows may replace all the same, as when a person takes an item out of quarantine.
        """
        if not rows:
            return []
        with self._log.alone():
            return self._append(rows, SETTLED.difference(over))

    def _append(self, rows: Sequence[Row], settled: Container[str]) -> list[Row]:
        patience = Patience(self.url)
        name, fresh = "", list[Row]()
        for _ in range(_COMMIT_TRIES):
            delta, states = self._now()
            if name and name in data_files(delta)["name"].to_pylist():
                return fresh  # the last try did it, and its answer was lost
            fresh = fresh_rows(rows, states, settled)
            if not fresh:
                return []
            name, size = self._write_file(fresh)
            if self._swap(delta, [add_action(name, size, len(fresh))], patience):
                self._log.added(self._states_in(name, pa.Table.from_pylist(fresh, self.schema)))
                return fresh
        return self._give_up()

    # Reading

    def states(self, without: Container[str] = ()) -> States:
        """Return the latest state of every key in the table; `without` names data files to leave out, as in `read`.

        Raises EquivdmError for a data file that cannot be read.
        """

        def read() -> States:
            delta = open_log(self.url)
            return States.empty() if delta is None else self._states(delta, without)

        return patiently(self.url, read)

    def files(self) -> list[DataFile]:
        """Return the committed data files."""
        return [DataFile(**row) for row in self.log().to_pylist()]

    def log(self) -> pa.Table:
        """Return name, bytes and key of the committed data files, in columns; null where a file has several keys."""

        def read() -> pa.Table:
            delta = open_log(self.url)
            return NO_FILES if delta is None else data_files(delta)

        return patiently(self.url, read)

    def misfits(self) -> list[str]:
        """Say which committed data files are missing or of another size, by one listing of the folder: none is read."""
        log = self.log()  # before the listing, which then has all that it names
        found = self.filesystem.ls(self.folder, detail=True) if len(log) else []
        sizes = [(posixpath.basename(file["name"]), file["size"]) for file in found]
        return [f"{self.name}/{problem}" for problem in differences(log, sizes)]

    def read(
        self,
        columns: Sequence[str] | None = None,
        keys: Iterable[str] | pa.Array | None = None,
        without: Container[str] = (),
    ) -> pa.Table:
        """Read the committed rows, all or those of the given keys, in an order that does not depend on commits.

        Data files named in `without` are left out: an audit knows that they are damaged.
        """
        names = self._names(self.log(), keys, without)
        columns = list(columns or self.schema.names)
        if not names:
            return self.schema.empty_table().select(columns)
        order = [("key", "ascending")] + [("metric", "ascending")] * ("metric" in self.schema.names)
        table = self.read_files(names, list(dict.fromkeys([*columns, *(name for name, _ in order)])))
        if keys is not None:
            table = table.filter(compute.is_in(table["key"], value_set=_keys(keys)))
        return table.sort_by(order).select(columns)

    def rows(
        self,
        columns: Sequence[str] | None = None,
        keys: Iterable[str] | None = None,
        without: Container[str] = (),
    ) -> list[Row]:
        """Read as `read` does, as plain dictionaries."""
        return self.read(columns, keys, without).to_pylist()

    def batches(self, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
        """Yield the committed rows in parts of at least so many (but for the last), for tables of millions."""
        waiting: list[pa.Table] = []
        for name in sorted(self.log()["name"].to_pylist()):
            waiting.append(self.read_files([name], columns))
            if sum(len(part) for part in waiting) >= rows:
                yield pa.concat_tables(waiting)
                waiting = []
        if waiting:
            yield pa.concat_tables(waiting)

    def read_files(self, names: Sequence[str], columns: Sequence[str]) -> pa.Table:
        """Read data files by name, as `States.files` gives them, without asking the log."""
        paths = [f"{self.folder}/{name}" for name in names]

        def read() -> pa.Table:
            dataset = ds.dataset(paths, schema=self.schema, filesystem=self.filesystem, format=_PARQUET)
            return dataset.to_table(columns=list(columns))

        return patiently(self.url, read)

    def read_file(self, name: str) -> bytes:
        """Return a data file's bytes, for an audit."""
        return cast(bytes, self.filesystem.cat_file(f"{self.folder}/{name}"))

    # Inside

    def _names(self, files: pa.Table, keys: Iterable[str] | pa.Array | None, without: Container[str]) -> list[str]:
        if keys is not None:
            files = files.filter(
                compute.or_(compute.is_null(files["key"]), compute.is_in(files["key"], value_set=_keys(keys)))
            )
        return [name for name in files["name"].to_pylist() if name not in without]

    def _now(self) -> tuple[DeltaTable, States]:
        return patiently(self.url, self._log.now)

    def _create(self) -> DeltaTable:
        self.filesystem.makedirs(self.folder, exist_ok=True)
        return create_log(self.url, self.schema)

    def _states(self, delta: DeltaTable, without: Container[str] = ()) -> States:
        files = data_files(delta)
        single = files.filter(compute.is_valid(files["key"]))
        parts = [states_of(single["key"], file=single["name"])]
        for name in files.filter(compute.is_null(files["key"]))["name"].to_pylist():
            if name in without:
                continue
            if name not in self._read:
                self._read[name] = self._read_states(name)
            parts.append(self._read[name])
        return States(pa.concat_tables(parts))

    def _read_states(self, name: str) -> pa.Table:
        try:
            rows = self.read_files([name], self._said)
        except (OSError, pa.ArrowInvalid) as error:
            reason = str(error).partition("\n")[0]
            raise EquivdmError(
                f"table {self.name}: {name} cannot be read ({reason}); `equivdm audit` tells what is damaged"
            ) from error
        return self._states_in(name, rows)

    @property
    def _said(self) -> list[str]:
        """Columns that tell a row's state."""
        return [column for column in ("key", "outcome", "attempt") if column in self.schema.names]

    def _states_in(self, name: str, rows: pa.Table) -> pa.Table:
        """Return the states that the rows of a data file tell, one for each key."""
        first = np.unique(
            compute.dictionary_encode(rows["key"]).combine_chunks().indices.to_numpy(), return_index=True
        )[1]
        rows = rows.take(pa.array(np.sort(first)))
        file = pa.repeat(name, len(rows))
        return states_of(rows["key"], file, *(rows[column] for column in self._said[1:]))

    def _write_file(self, rows: Sequence[Row]) -> tuple[str, int]:
        sink = io.BytesIO()
        pq.write_table(
            pa.Table.from_pylist(list(rows), schema=self.schema), sink, compression="zstd", write_page_checksum=True
        )
        data = sink.getvalue()
        name = f"{rows[0]['key'][:16]}-{hashlib.sha256(data).hexdigest()}.parquet"
        patiently(self.url, lambda: self._pipe(name, data))
        return name, len(data)

    def _pipe(self, name: str, data: bytes) -> None:
        self.filesystem.makedirs(self.folder, exist_ok=True)
        self.filesystem.pipe_file(f"{self.folder}/{name}", data)

    def _swap(self, delta: DeltaTable, actions: list[AddAction], patience: Patience) -> bool:
        """Commit, or return False: refused, or nobody knows. What the log says then is what is so."""
        try:
            append(delta, actions, self.schema)
        except CommitFailedError:
            return False
        except FAULTS as fault:
            patience.rest(fault)
            return False
        return True

    def _give_up(self) -> Any:
        raise EquivdmError(f"table {self.name}: {_COMMIT_TRIES} commits in a row met another writer; run the job again")


def sha256_of(name: str) -> str:
    """Return the sha256 that a data file's name promises."""
    return name.removesuffix(".parquet").rpartition("-")[2]


def _keys(keys: Iterable[str] | pa.Array) -> pa.Array:
    return keys if isinstance(keys, pa.Array) else pa.array(list(keys), pa.string())


def _column(values: Sequence[str]) -> pa.ChunkedArray:
    return pa.chunked_array([values], pa.string())


def _sibling(place: str, name: str) -> str:
    return f"{place.rpartition('/')[0]}/{name}"
