"""A source's manifest: the file in which somebody lists the videos to take, with captions and metadata of their own."""

import csv
import json
import math
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from equivdm.errors import UsageError
from pipelines.arrow import compute, runs_code
from pipelines.source_listing import TEXT, below, table_of

LISTED = pa.schema([("path", TEXT), ("caption", TEXT), ("metadata", TEXT)])
"""Path below the root; caption, null where the manifest gives none; all other columns as a JSON object, or null."""

_NUMBERED = LISTED.append(pa.field("number", pa.int64()))
_BATCH_ROWS = 1 << 14

Values = Mapping[str, Any]
"""A row by column, without what is missing in it."""


class Format(NamedTuple):
    """One of the kinds of files."""

    rows: Callable[[str], Iterator[tuple[int, Values]]]
    """Gives the number and the values of each row of a local file."""
    unit: str
    """What its numbers count, from 1."""


class _Fault(ValueError):
    """What is wrong with a file; `number` is that of the row or line."""

    def __init__(self, message: str, number: int | None = None) -> None:
        super().__init__(message)
        self.number = number


def read_manifest(local: str, name: str, root: str, taken: Callable[[str], bool]) -> pa.Table:
    """Return the videos (LISTED) that a manifest lists and whose path is `taken`, sorted by path.

    Args:
        local: the file on this machine.
        name: what it is called in errors; its ending says its format.
        root: the source's: an absolute folder, or `s3://bucket/prefix`.
        taken: whether a path below the root is wanted.

    Raises UsageError, with the number of the row or line, for a file that is empty or damaged, has no column `path`,
    lists a path twice, or names a place that is not below the root.
    """
    kind = _FORMATS[PurePosixPath(name).suffix.lower()]
    rows = kind.rows(local)
    try:
        first = next(rows, None)
        if first is None:
            raise _Fault("got no rows, wanted one for each video")
        return _sorted(table_of(_entries(chain([first], rows), root, taken), _NUMBERED), kind.unit)
    except _Fault as fault:
        place = "" if fault.number is None else f", {kind.unit} {fault.number}"
        raise UsageError(f"source.manifest: {name}{place}: {fault}") from fault


def path_below(name: str, root: str) -> str:
    """Return the path below the root of a file that a manifest names so.

    The name is relative to the root, or begins with it. Links in the folder are not resolved: whoever made the folder
    made them. Raises ValueError for anything else, before any file is looked at.
    """
    if not name or name.endswith("/") or "\0" in name:
        raise ValueError(f"got path {name!r}, wanted the name of a file")
    if ".." in name.split("/"):
        raise ValueError(f"got path {name!r}, wanted one without '..': name the file as it lies below source.root")
    on_s3 = root.startswith("s3://")
    if name.startswith("/") or "://" in name:
        plain = name if on_s3 or "://" in name else posixpath.normpath(name)
        if not plain.startswith(below(root)) or plain.startswith("//"):  # POSIX leaves open where // begins
            raise ValueError(f"got path {name!r}, wanted one below source.root ({root}), or relative to it")
        name = plain.removeprefix(below(root))
    # On S3 a name is a key, letter by letter: a//b is not a/b.
    path = re.sub(r"^(\./)+", "", name) if on_s3 else posixpath.normpath(name)
    if path in ("", "."):
        raise ValueError(f"got path {name!r}, wanted the name of a file")
    return path


def _entries(
    rows: Iterator[tuple[int, Values]], root: str, taken: Callable[[str], bool]
) -> Iterator[tuple[str, str | None, str | None, int]]:
    for number, values in rows:
        try:
            path = path_below(_text(values, "path") or "", root)
            if taken(path):
                yield path, _text(values, "caption"), _metadata(values), number
        except ValueError as error:
            raise _Fault(str(error), number) from error


def _text(values: Values, column: str) -> str | None:
    value = values.get(column)
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"got {column} {value!r}, wanted text")
    value.encode()  # half of a surrogate pair, which JSON can spell, is no text: UnicodeEncodeError is a ValueError
    return value.strip() if column == "caption" else value


def _metadata(values: Values) -> str | None:
    others = {name: value for name, value in values.items() if name not in ("path", "caption")}
    if not others:
        return None
    try:
        return _JSON.encode(others)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"got metadata that JSON cannot hold ({error}): leave that column out") from error


def _as_json(value: Any) -> str:
    """Times and decimal numbers of Parquet as text."""
    if isinstance(value, Decimal):
        return str(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} {value!r}")


def _sorted(table: pa.Table, unit: str) -> pa.Table:
    table = table.sort_by([("path", "ascending"), ("number", "ascending")]).combine_chunks()
    twice = compute.equal(table["path"][1:], table["path"][:-1]).index(True).as_py()
    if twice >= 0:
        first, second = table.slice(twice, 2)["number"].to_pylist()
        path = table["path"][twice].as_py()
        raise _Fault(f"got path {path!r}, which {unit} {first} has too: wanted each video once", second)
    return table.select(LISTED.names)


_JSON = json.JSONEncoder(sort_keys=True, allow_nan=False, default=_as_json)


# Formats


def _parquet_rows(local: str) -> Iterator[tuple[int, Values]]:
    try:
        file = pq.ParquetFile(local)
        _check_columns(file.schema_arrow.names)
        for column in file.schema_arrow:
            if runs_code(column.type):
                raise _Fault(f"got column {column.name!r} of type {column.type}, wanted one of Arrow's own types")
        number = 0
        for batch in file.iter_batches(_BATCH_ROWS):
            for values in batch.to_pylist():
                number += 1
                yield number, {name: value for name, value in values.items() if not _is_missing(value)}
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise _Fault(f"got a file that cannot be read ({error}), wanted Parquet") from error


def _csv_rows(local: str) -> Iterator[tuple[int, Values]]:
    with open(local, "rb") as stream:
        # Line by line, so that one that is no UTF-8 can be named; universal newlines are the reader's own work.
        reader = csv.reader(_lines(stream), strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            _check_columns(header)
            for fields in reader:
                if not fields:
                    continue
                if len(fields) != len(header):
                    raise _Fault(f"got {len(fields)} fields, wanted {len(header)}, as in the header", reader.line_num)
                yield reader.line_num, {name: text for name, text in zip(header, fields, strict=True) if text}
        except csv.Error as error:
            raise _Fault(f"got a line that is no CSV ({error})", reader.line_num) from error


def _jsonl_rows(local: str) -> Iterator[tuple[int, Values]]:
    with open(local, "rb") as stream:
        for number, line in enumerate(_lines(stream), 1):
            if line.strip():
                yield number, _json_object(line, number)


def _json_object(line: str, number: int) -> Values:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _Fault(f"got a line that is no JSON ({error}), wanted an object such as {_EXAMPLE}", number) from error
    if not isinstance(values, dict):
        raise _Fault(f"got JSON of type {type(values).__name__}, wanted an object such as {_EXAMPLE}", number)
    if "path" not in values:
        raise _Fault(f"got the keys {', '.join(values) or '(none)'}, wanted `path` among them", number)
    return {name: value for name, value in values.items() if not _is_missing(value)}


_EXAMPLE = '{"path": "a.mp4", "caption": "a cat"}'


def _lines(stream: Any) -> Iterator[str]:
    for number, line in enumerate(stream, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise _Fault(f"got bytes that are no UTF-8 ({error.reason}), wanted UTF-8", number) from error


def _check_columns(names: Sequence[str]) -> None:
    if "path" not in names:
        raise _Fault(f"got the columns {', '.join(names) or '(none)'}, wanted `path` among them")
    if len(set(names)) < len(names) or "" in names:
        raise _Fault(f"got the columns {', '.join(map(repr, names))}, wanted a different name for each")


def _is_missing(value: Any) -> bool:
    """Whether a value stands for none: null, or what pandas writes for it in a column of numbers."""
    return value is None or (isinstance(value, float) and math.isnan(value))


_FORMATS = {
    ".parquet": Format(_parquet_rows, "row"),
    ".csv": Format(_csv_rows, "line"),
    ".jsonl": Format(_jsonl_rows, "line"),
}
