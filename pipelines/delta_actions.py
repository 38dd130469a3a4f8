"""What the lines of a Delta table's log say: data files that are there, and those that are there no more.

Lines become columns of Arrow at once, never objects: a stretch of a log may name a million files.
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, unquote
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.json
from deltalake import Schema

from pipelines.arrow import compute

Action = Mapping[str, Any]
"""A line of a log."""

READER, WRITER = 1, 2
"""Versions of the protocol that tables of this project ask of who reads and who writes them."""

HEAD = ("protocol", "metaData")
"""What lines say of a table as a whole."""

ENTRIES = pa.schema(
    [("path", pa.string()), ("size", pa.int64()), ("modificationTime", pa.int64()), ("stats", pa.string())]
)
"""Data files as a log names them: paths as in a URL, statistics as JSON."""

FILES = pa.schema([("name", pa.string()), ("bytes", pa.int64()), ("key", pa.string())])
"""Data files as this project knows them; the key is null where a file holds several."""


class Said(NamedTuple):
    """What a stretch of a log says in the end."""

    added: pa.Table
    """Data files, as `ENTRIES` has them."""
    changed: pa.Array
    """Paths that were named before and are no more, or otherwise: foreign programs do that."""
    head: Mapping[str, Action]
    """The latest `protocol` and `metaData`, where there was one."""


def add_action(name: str, size: int, rows: int, key: str | None = None) -> Action:
    """Return the line that adds a data file; `key` where it holds one key only, so that the log alone tells it."""
    stats: dict[str, object] = {"numRecords": rows}
    if key is not None:
        stats |= {"minValues": {"key": key}, "maxValues": {"key": key}}
    what = {"path": quote(name), "partitionValues": {}, "size": size, "modificationTime": now_ms(), "dataChange": True}
    return {"add": what | {"stats": json.dumps(stats)}}


def creation(schema: pa.Schema) -> list[Action]:
    """Return the lines that make a table, for its first version."""
    table = {"id": str(uuid4()), "format": {"provider": "parquet", "options": {}}, "createdTime": now_ms()}
    columns = {"schemaString": Schema.from_arrow(schema).to_json(), "partitionColumns": [], "configuration": {}}
    return [{"protocol": {"minReaderVersion": READER, "minWriterVersion": WRITER}}, {"metaData": table | columns}]


def said(texts: Iterable[bytes]) -> Said:
    """Return what commits say, given the text of each in their order; a line is an action."""
    tables, head = [_LINES.empty_table()], dict[str, Action]()
    for text in texts:
        tables.append(_parse(text, _LINES))
        head |= {kind: line[kind] for line in _of_the_whole(text) for kind in HEAD if kind in line}
    lines = pa.concat_tables(tables)
    added = _columns(lines["add"], _LINES.field("add").type)
    paths = compute.coalesce(added["path"], compute.struct_field(lines["remove"], "path"))
    changed = pa.array([], pa.string())
    if lines["remove"].null_count < len(lines) or compute.any(compute.invert(added["dataChange"])).as_py():
        changed = compute.unique(paths).drop_null()
        added = added.take(_last_of_each(paths))
    return Said(added.filter(compute.is_valid(added["path"])).select(ENTRIES.names), changed, head)


def data_files(entries: pa.Table) -> pa.Table:
    """Return entries of a log as `FILES` has them."""
    names = entries["path"]
    if compute.any(compute.match_substring(names, "%")).as_py():
        names = pa.chunked_array([[unquote(name) for name in names.to_pylist()]], pa.string())
    return pa.table([names, entries["size"], _single_keys(entries["stats"])], schema=FILES)


def now_ms() -> int:
    """Return the time as logs give it, in milliseconds since 1970."""
    return int(time.time() * 1000)


_LINES = pa.schema(
    [
        ("add", pa.struct([*ENTRIES, pa.field("dataChange", pa.bool_())])),
        ("remove", pa.struct([("path", pa.string())])),
    ]
)

_ENDS = pa.struct([("key", pa.string())])
_STATS = pa.schema([("minValues", _ENDS), ("maxValues", _ENDS)])


def _parse(text: bytes | pa.Buffer, schema: pa.Schema) -> pa.Table:
    """Parse JSON, a value a line, into the columns of `schema`; others are left out."""
    return pyarrow.json.read_json(
        pa.BufferReader(text),
        read_options=pyarrow.json.ReadOptions(block_size=len(text) + 1),
        parse_options=pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
    )


def _of_the_whole(text: bytes) -> Iterator[Action]:
    """Yield the lines that say something of the table as a whole: few of many."""
    for line in text.splitlines():
        if any(f'"{kind}"'.encode() in line[:20] for kind in HEAD):
            yield json.loads(line)


def _last_of_each(paths: pa.ChunkedArray) -> pa.Array:
    """Return where each path is named for the last time, in order."""
    codes = compute.fill_null(compute.dictionary_encode(paths).combine_chunks().indices, -1).to_numpy()
    return pa.array(np.sort(len(codes) - 1 - np.unique(codes[::-1], return_index=True)[1]))


def _columns(structs: pa.ChunkedArray, kind: pa.StructType) -> pa.Table:
    """Return a column's fields as columns; those of a null are null."""
    names = [field.name for field in kind]
    return pa.table([compute.struct_field(structs, name) for name in names], names=names)


def _single_keys(stats: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the key of each data file that holds one only, by its statistics (JSON)."""
    if not len(stats):
        return pa.chunked_array([], pa.string())
    one_list = pa.ListArray.from_arrays([0, len(stats)], compute.fill_null(stats, "{}").combine_chunks())
    text = compute.binary_join(one_list, "\n")[0].as_buffer()
    low, high = (compute.struct_field(column, "key") for column in _parse(text, _STATS).columns)
    return compute.if_else(compute.fill_null(compute.equal(low, high), False), low, pa.scalar(None, pa.string()))
