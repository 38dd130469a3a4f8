"""Listings of folders that may hold millions of files, in columns: fsspec's own are a dictionary for each."""

import os
from collections.abc import Iterator
from itertools import islice
from typing import Any, cast

import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from pipelines.arrow import compute

_SCHEMA = pa.schema([("name", pa.string()), ("bytes", pa.int64())])

_PAGE = 1000
"""Files of one page of a listing; a server of S3 gives no more at a time."""


def listed(filesystem: fsspec.AbstractFileSystem, folder: str) -> pa.Table:
    """Return `name` and `bytes` of the files right in a folder; none of a folder that is not there."""
    pages = _on_disk(folder) if isinstance(filesystem, LocalFileSystem) else _on_s3(filesystem, folder)
    return pa.concat_tables([_SCHEMA.empty_table(), *pages])


def differences(log: pa.Table, found: pa.Table) -> Iterator[str]:
    """Say which files that a log names (as `delta_actions.FILES`) a listing lacks, or has otherwise."""
    places = compute.index_in(log["name"], value_set=found["name"])
    log = log.append_column("found", found["bytes"].take(places))
    whole = compute.fill_null(compute.equal(log["found"], log["bytes"]), False)
    for row in log.filter(compute.invert(whole)).to_pylist():
        got = "is missing" if row["found"] is None else f"got {row['found']} bytes"
        yield f"{row['name']}: {got}, the log says {row['bytes']} bytes"


def _page(files: list[tuple[str, int]]) -> pa.Table:
    return pa.table([[name for name, _ in files], [size for _, size in files]], schema=_SCHEMA)


def _on_disk(folder: str) -> Iterator[pa.Table]:
    if not os.path.isdir(folder):
        return
    with os.scandir(folder) as entries:
        files = ((entry.name, entry.stat().st_size) for entry in entries if entry.is_file())
        while page := list(islice(files, _PAGE)):
            yield _page(page)


def _on_s3(filesystem: fsspec.AbstractFileSystem, folder: str) -> Iterator[pa.Table]:
    bucket, _, prefix = f"{folder}/".partition("/")
    asked = {"Bucket": bucket, "Prefix": prefix, "Delimiter": "/", "MaxKeys": _PAGE}
    answer = {"NextContinuationToken": ""}
    while (token := answer.get("NextContinuationToken")) is not None:
        more = {"ContinuationToken": token} if token else {}
        answer = cast(Any, filesystem).call_s3("list_objects_v2", **asked, **more)
        yield _page([(file["Key"].removeprefix(prefix), file["Size"]) for file in answer.get("Contents", [])])
