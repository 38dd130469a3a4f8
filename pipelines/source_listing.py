"""Which files a source holds, and a stamp of each that changes when the file does: in a folder, or below an S3 prefix.

Files come as columns, and only a batch of them as Python objects: a bucket may hold millions.
"""

import errno
import os
import stat
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

TEXT = pa.large_string()
"""Type of a source's columns: of millions of captions one may pass 2 GiB, which is the end of `string` in sorting."""

FILES = pa.schema([("path", TEXT), ("stamp", TEXT)])
"""Path below the root, and `SIZE:MTIME_NS` of a file or `SIZE:ETAG` of an object."""

_BATCH_ROWS = 1 << 15
_NO_SUCH_FILE = frozenset([errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG])


def table_of(rows: Iterable[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    """Return rows as a table, holding only a batch of them as Python objects at a time."""
    rows, batches = iter(rows), []
    while batch := list(islice(rows, _BATCH_ROWS)):
        columns = zip(*batch, strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
        batches.append(pa.record_batch(arrays, schema=schema))
    return pa.Table.from_batches(batches, schema)


def files_below(filesystem: fsspec.AbstractFileSystem, root: str, taken: Callable[[str], bool]) -> pa.Table:
    """Return the files (FILES) at any depth below a root whose path is `taken`, sorted by path.

    Links to files are followed, links to folders are not. Raises what a place out of reach raises, and ValueError for a
    name that is no text.
    """
    if isinstance(filesystem, LocalFileSystem):
        found = _folder_files(root, taken)
    else:
        found = (file for page in _pages(filesystem, root) for file in page if taken(file[0]))
    return table_of(found, FILES).sort_by("path")


def files_named(filesystem: fsspec.AbstractFileSystem, root: str, names: pa.Array) -> pa.Table:
    """Return those of the named files (paths below the root, sorted) that are there, as FILES."""
    if isinstance(filesystem, LocalFileSystem):
        stamped = ((name, _stamp(f"{below(root)}{name}")) for name in _values(names))
        return table_of(((name, stamp) for name, stamp in stamped if stamp), FILES)
    return table_of(_named_objects(filesystem, root, names), FILES)


def holds_files(filesystem: fsspec.AbstractFileSystem, root: str) -> bool:
    """Whether the root is a folder, or a prefix with an object."""
    if isinstance(filesystem, LocalFileSystem):
        return os.path.isdir(root)
    return any(_pages(filesystem, root))


def below(root: str) -> str:
    """Return what the paths of all files of a root begin with."""
    return root.rstrip("/") + "/"


def _values(array: pa.Array) -> Iterator[str]:
    for start in range(0, len(array), _BATCH_ROWS):
        yield from array.slice(start, _BATCH_ROWS).to_pylist()


# Folders


def _folder_files(root: str, taken: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
    for folder, _, names in os.walk(root, onerror=_raise_unless_gone):
        for name in names:
            source = os.path.join(folder, name)
            path = source.removeprefix(below(root))
            if taken(path) and (stamp := _stamp(source)):
                if not _is_text(path):
                    raise ValueError(f"the name {os.fsencode(path)!r} is not UTF-8: rename it, or exclude it")
                yield path, stamp


def _raise_unless_gone(error: OSError) -> None:
    if error.errno not in _NO_SUCH_FILE:
        raise error


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _stamp(source: str) -> str | None:
    try:
        status = os.stat(source)
    except OSError as error:
        if error.errno in _NO_SUCH_FILE:
            return None
        raise
    return f"{status.st_size}:{status.st_mtime_ns}" if stat.S_ISREG(status.st_mode) else None


# S3


def _pages(filesystem: fsspec.AbstractFileSystem, root: str) -> Iterator[list[tuple[str, str]]]:
    after, more = "", True
    while more:
        page, more = _page(filesystem, root, after)
        if page:
            yield page
            after = page[-1][0]


def _named_objects(filesystem: fsspec.AbstractFileSystem, root: str, names: pa.Array) -> Iterator[tuple[str, str]]:
    """Walk along the prefix's listing, and leap to the next name where a page ends before it.

    So it takes no more requests than there are pages, and no more than there are names, but for names whose
    neighbours differ in their last letter only. A HEAD each would be a million requests for a million names.
    """
    position, after, more = 0, "", True
    while more and position < len(names):
        # The listing begins after a key; cutting a letter off gives one that sorts closely before the name.
        after = max(after, names[position].as_py()[:-1])
        page, more = _page(filesystem, root, after)
        end = len(names)
        if more:
            after = page[-1][0]
            end = bisect_right(range(end), after, lo=position, key=lambda index: names[index].as_py())
        wanted = set(names.slice(position, end - position).to_pylist())
        yield from (file for file in page if file[0] in wanted)
        position = end


def _page(filesystem: Any, root: str, after: str) -> tuple[list[tuple[str, str]], bool]:
    """Return the files that sort after a path, at most a thousand, and whether there are more."""
    bucket, key, _ = filesystem.split_path(root)
    prefix = below(key) if key else ""
    answer = filesystem.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, StartAfter=prefix + after)
    found = [
        (one["Key"][len(prefix) :], f"{one['Size']}:{one['ETag'].strip(chr(34))}") for one in answer.get("Contents", ())
    ]
    if answer["IsTruncated"] and not found:
        raise OSError(f"the server has more below {root}/{after}, and gives none of it")
    return found, answer["IsTruncated"]
