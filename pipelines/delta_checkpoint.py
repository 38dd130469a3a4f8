"""Checkpoints of a Delta table's log: Parquet files that say at once what all commits up to a version have said.

A checkpoint is written from the one before it and the commits since, part by part, so that its size in memory does not
grow with the table's.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from equivdm.errors import EquivdmError
from pipelines.arrow import compute, runs_code
from pipelines.delta_actions import ENTRIES

_TEXTS = pa.map_(pa.string(), pa.string())

_ADD = pa.struct(
    [
        ("path", pa.string()),
        ("partitionValues", _TEXTS),
        ("size", pa.int64()),
        ("modificationTime", pa.int64()),
        ("dataChange", pa.bool_()),
        ("stats", pa.string()),
    ]
)

_HEAD = {
    "protocol": pa.struct([("minReaderVersion", pa.int32()), ("minWriterVersion", pa.int32())]),
    "metaData": pa.struct(
        [
            ("id", pa.string()),
            ("name", pa.string()),
            ("description", pa.string()),
            ("format", pa.struct([("provider", pa.string()), ("options", _TEXTS)])),
            ("schemaString", pa.string()),
            ("partitionColumns", pa.list_(pa.string())),
            ("configuration", _TEXTS),
            ("createdTime", pa.int64()),
        ]
    ),
}

_HEAD_COLUMNS = ("protocol.minReaderVersion", "metaData.id")
"""Columns that are null in all other rows."""

_SCHEMA = pa.schema({"add": _ADD, **_HEAD})

_ROWS = 16_384
"""Rows that are in memory at once."""


def read(filesystem: fsspec.AbstractFileSystem, path: str) -> Iterator[pa.Table]:
    """Yield the data files of a checkpoint's file, as `ENTRIES` has them, part by part."""
    with filesystem.open(path, "rb") as stream:
        for batch in pq.ParquetFile(stream).iter_batches(_ROWS, columns=[f"add.{name}" for name in ENTRIES.names]):
            column = batch.column("add")
            added = column.filter(compute.is_valid(column))
            yield pa.table([compute.struct_field(added, name) for name in ENTRIES.names], schema=ENTRIES)


def read_head(filesystem: fsspec.AbstractFileSystem, paths: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return what a checkpoint says of the table as a whole: its `protocol` and its `metaData`."""
    found = dict[str, dict[str, Any]]()
    for path in paths:
        with filesystem.open(path, "rb") as stream:
            file = pq.ParquetFile(stream)
            if any(runs_code(column.type) for column in file.schema_arrow):
                raise EquivdmError(f"{path}: got types of Python's, wanted Arrow's own: find out who wrote it")
            groups = [place for place in range(file.num_row_groups) if _tells_of_whole(file.metadata.row_group(place))]
            for batch in file.iter_batches(_ROWS, groups, columns=list(_HEAD)) if groups else ():
                said = {name: batch.column(name).drop_null().to_pylist() for name in _HEAD}
                found |= {name: rows[0] for name, rows in said.items() if rows}
    return found


def _tells_of_whole(group: pq.RowGroupMetaData) -> bool:
    """Whether a row group may say something of the table as a whole: one or two of thousands do."""
    columns = [group.column(place) for place in range(group.num_columns)]
    heads = [column for column in columns if column.path_in_schema in _HEAD_COLUMNS]
    told = [column.statistics for column in heads]
    return any(each is None or not each.has_null_count or each.null_count < group.num_rows for each in told)


def write(
    filesystem: fsspec.AbstractFileSystem,
    folder: str,
    version: int,
    head: Mapping[str, Mapping[str, Any]],
    files: Iterator[pa.Table],
) -> None:
    """Write the checkpoint of a version of the table in a folder; readers see all of it or nothing."""
    path, rows = f"{folder}/_delta_log/{version:020d}.checkpoint.parquet", len(head)
    with _whole_file(filesystem, path) as stream, pq.ParquetWriter(stream, _SCHEMA, compression="zstd") as writer:
        for name, said in head.items():
            writer.write_table(_only(name, pa.array([dict(said)], _HEAD[name])))
        for part in files:
            writer.write_table(_only("add", _added(part)))
            rows += len(part)
    with _whole_file(filesystem, f"{folder}/_delta_log/_last_checkpoint") as stream:
        stream.write(json.dumps({"version": version, "size": rows}).encode())


def _added(files: pa.Table) -> pa.Array:
    """Return data files as a checkpoint's column has them: in no partition, and no change of the data."""
    count = len(files)
    columns = {name: files[name].combine_chunks() for name in files.column_names}
    none = pa.MapArray.from_arrays(
        pa.array([0] * (count + 1), pa.int32()), pa.array([], pa.string()), pa.array([], pa.string())
    )
    columns |= {"partitionValues": none, "dataChange": pa.repeat(False, count)}
    return pa.StructArray.from_arrays([columns[field.name] for field in _ADD], fields=list(_ADD))


def _only(name: str, column: pa.Array) -> pa.Table:
    """Return rows that say one kind of thing: its column, and nulls in the others."""
    nulls = {field.name: pa.nulls(len(column), field.type) for field in _SCHEMA}
    return pa.table(nulls | {name: column}, schema=_SCHEMA)


@contextmanager
def _whole_file(filesystem: fsspec.AbstractFileSystem, path: str) -> Iterator[Any]:
    """Open a file for writing that is there when all is written, in place of what was."""
    if not isinstance(filesystem, LocalFileSystem):
        # Not into the object: that would be there, with what was written so far, where a fault ends the writing.
        with tempfile.TemporaryDirectory(prefix="equivdm-") as local:
            with open(f"{local}/object", "wb") as stream:
                yield stream
            filesystem.put_file(f"{local}/object", path)
        return
    partial = f"{path}.{uuid4().hex}.partial"
    with filesystem.open(partial, "wb") as stream:
        yield stream
    os.replace(partial, path)
