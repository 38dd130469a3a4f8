"""Delta Lake tables with one rule: a key is settled once.

Large rows (tensors) are written by workers, a data file each, and enter the table when the driver commits their
receipts; the log keeps their keys as statistics, so that reading the log alone says which there are. Small rows (how an
item ended) are handed to the driver, which appends them, many to a data file. Either way a commit is a compare-and-swap
on the table's version: a stale one is refused, re-reads the log, drops what another run has settled meanwhile, and
tries again.

A data file's name ends with the sha256 of its bytes, and the log keeps its size, so that an audit can prove both.
"""

import functools
import hashlib
import io
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar, cast

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from equivdm.errors import EquivdmError
from pipelines.arrow import compute
from pipelines.delta_actions import FILES, Action, add_action
from pipelines.delta_log import DataFile, DeltaLog, Receipt
from pipelines.kept_log import KeptLog
from pipelines.listing import differences, listed
from pipelines.patience import FAULTS, Patience, patiently
from pipelines.schemas import SCHEMAS
from pipelines.states import SETTLED, Row, States, fresh_rows, states_of

_PARQUET = ds.ParquetFileFormat(
    default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True)
)
"""Bytes that have changed are an error, and never other numbers. Files without checksums are read as they are."""

_COMMIT_TRIES = 100

Result = TypeVar("Result")


@dataclass(frozen=True)
class Table:
    """One Delta table. It need not exist: an absent one is empty, and the first commit creates it."""

    name: str
    url: str
    folder: str
    filesystem: fsspec.AbstractFileSystem
    _beside: dict[str, "Table"] = field(default_factory=dict, compare=False, repr=False)
    """The other tables of the store that were asked for, by name."""

    def __post_init__(self) -> None:
        """Make the lock of the log, before there are threads that would each make one."""
        _ = self._kept

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
                self, name=name, url=_sibling(self.url, name), folder=_sibling(self.folder, name)
            )
        return self._beside[name]

    @cached_property
    def _log(self) -> DeltaLog:
        return DeltaLog(self.name, self.folder, self.filesystem)

    @cached_property
    def _kept(self) -> KeptLog:
        return KeptLog(self._log, self.schema, self._states_of)

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
        with self._kept.alone():
            return self._commit({receipt.key: receipt for receipt in reversed(receipts)})

    def _commit(self, unique: Mapping[str, Receipt]) -> list[Receipt]:
        patience, keys = Patience(self.url), pa.array(unique.keys(), pa.string())
        for _ in range(_COMMIT_TRIES):
            known = self._now().lookup(keys)["outcome"].is_null().to_pylist()
            fresh = [receipt for receipt, is_new in zip(unique.values(), known, strict=True) if is_new]
            actions = [add_action(r.file, r.bytes, 1, r.key) for r in fresh]
            if not fresh or self._swap(actions, states_of(_column([r.key for r in fresh])), patience):
                # A file of ours that was there was committed by an earlier try, whose answer was lost.
                others = unique.keys() - {receipt.key for receipt in fresh}
                files = self._files_of(pa.array(others, pa.string())) if others else {}
                return fresh + [unique[key] for key in unique if files.get(key) == unique[key].file]
        return self._give_up()

    def append(self, rows: Sequence[Row], over: Iterable[str] = ()) -> list[Row]:
        """Write and commit rows of any number of keys, but for keys that are settled.

        The rows of one key share its outcome and attempt (done and 1 where they are not given). Returns the rows that
        were added: those of keys that are new, or that ended otherwise in an earlier attempt. `over` names settled
        outcomes that these rows may replace all the same, as when a person takes an item out of quarantine.
        """
        if not rows:
            return []
        with self._kept.alone():
            return self._append(rows, SETTLED.difference(over))

    def _append(self, rows: Sequence[Row], settled: Container[str]) -> list[Row]:
        patience = Patience(self.url)
        name, fresh = "", list[Row]()
        for _ in range(_COMMIT_TRIES):
            states = self._now()
            if name and name in self.log()["name"].to_pylist():
                return fresh  # the last try did it, and its answer was lost
            fresh = fresh_rows(rows, states, settled)
            if not fresh:
                return []
            name, size = self._write_file(fresh)
            attempts = self._first_states(pa.Table.from_pylist(fresh, self.schema))
            if self._swap([add_action(name, size, len(fresh))], attempts, patience):
                return fresh
        return self._give_up()

    # Reading

    def states(self, without: Container[str] = ()) -> States:
        """Return the latest state of every key in the table; `without` names data files to leave out, as in `read`.

        Raises EquivdmError for a data file that cannot be read.
        """
        if without:
            parts = self._parts(lambda files: self._states_of(files, without))
            return functools.reduce(States.after, parts, States.empty())
        with self._kept.alone():
            return self._now()

    def files_of(self, keys: Sequence[str]) -> list[str | None]:
        """Return the data file of each key, None where there is none: of tables whose rows are a data file each."""
        asked = pa.array(keys, pa.string())
        none_known = self.states().lookup(asked)["outcome"].null_count == len(asked)
        found = {} if none_known else self._files_of(asked)
        return [found.get(key) for key in keys]

    def files(self) -> list[DataFile]:
        """Return the committed data files."""
        return [DataFile(**row) for row in self.log().to_pylist()]

    def log(self, columns: Sequence[str] = FILES.names) -> pa.Table:
        """Return name, bytes and key of the committed data files, in columns; null where a file has several keys."""
        parts = self._parts(lambda files: files.select(columns))
        return pa.concat_tables([FILES.empty_table().select(columns), *parts])

    def misfits(self) -> list[str]:
        """Say which committed data files are missing or of another size, by one listing of the folder: none is read."""
        log = self.log(["name", "bytes"])  # before the listing, which then has all that it names
        return [f"{self.name}/{problem}" for problem in differences(log, listed(self.filesystem, self.folder))]

    def read(
        self,
        columns: Sequence[str] | None = None,
        keys: Iterable[str] | pa.Array | None = None,
        without: Container[str] = (),
    ) -> pa.Table:
        """Read the committed rows, all or those of the given keys, in an order that does not depend on commits.

        Data files named in `without` are left out: an audit knows that they are damaged.
        """
        names = self._names(keys, without)
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
        """Read data files by name, as `files_of` gives them, without asking the log."""
        paths = [f"{self.folder}/{name}" for name in names]

        def read() -> pa.Table:
            dataset = ds.dataset(paths, schema=self.schema, filesystem=self.filesystem, format=_PARQUET)
            return dataset.to_table(columns=list(columns))

        return patiently(self.url, read)

    def read_file(self, name: str) -> bytes:
        """Return a data file's bytes, for an audit."""
        return cast(bytes, self.filesystem.cat_file(f"{self.folder}/{name}"))

    # Inside

    def _parts(self, pick: Callable[[pa.Table], Result]) -> list[Result]:
        """Return what is picked of each part of the log, which is not in memory as a whole."""
        return patiently(self.url, lambda: [pick(part) for part in self._log.files()])

    def _names(self, keys: Iterable[str] | pa.Array | None, without: Container[str]) -> list[str]:
        """Return the data files that may hold rows of the keys."""
        wanted = None if keys is None else _keys(keys)

        def pick(files: pa.Table) -> pa.ChunkedArray:
            if wanted is None:
                return files["name"]
            mine = compute.is_in(files["key"], value_set=wanted)
            return files["name"].filter(compute.or_(compute.is_null(files["key"]), mine))

        return [name for names in self._parts(pick) for name in names.to_pylist() if name not in without]

    def _files_of(self, keys: pa.Array) -> dict[str, str]:
        def pick(files: pa.Table) -> list[Row]:
            return files.filter(compute.is_in(files["key"], value_set=keys)).to_pylist()

        return {file["key"]: file["name"] for files in self._parts(pick) for file in files}

    def _now(self) -> States:
        return patiently(self.url, self._kept.now)

    def _states_of(self, files: pa.Table, without: Container[str] = ()) -> pa.Table:
        """Return the states that data files tell: by the log alone where they hold a key each."""
        single = files.filter(compute.is_valid(files["key"]))
        several = files.filter(compute.is_null(files["key"]))["name"].to_pylist()
        read = (self._read_states(name) for name in several if name not in without)
        return pa.concat_tables([states_of(single["key"]), *read])

    def _read_states(self, name: str) -> pa.Table:
        try:
            rows = self.read_files([name], self._said)
        except (OSError, pa.ArrowInvalid) as error:
            reason = str(error).partition("\n")[0]
            raise EquivdmError(
                f"table {self.name}: {name} cannot be read ({reason}); `equivdm audit` tells what is damaged"
            ) from error
        return self._first_states(rows)

    @property
    def _said(self) -> list[str]:
        """Columns that tell a row's state."""
        return [column for column in ("key", "outcome", "attempt") if column in self.schema.names]

    def _first_states(self, rows: pa.Table) -> pa.Table:
        """Return the states that the rows of a data file tell, one for each key."""
        first = np.unique(
            compute.dictionary_encode(rows["key"]).combine_chunks().indices.to_numpy(), return_index=True
        )[1]
        rows = rows.take(pa.array(np.sort(first)))
        return states_of(rows["key"], *(rows[column] for column in self._said[1:]))

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

    def _swap(self, actions: Sequence[Action], attempts: pa.Table, patience: Patience) -> bool:
        """Commit, or return False: refused, or nobody knows. What the log says then is what is so."""
        try:
            self._kept.commit(actions, attempts)
        except FileExistsError:
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
