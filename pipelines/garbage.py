"""Files of a store that nothing names: what was written by a run that did not live to commit it, or lost to another.

    data file     in a table's folder, and not in its log
    log           commits and checkpoints of a table that a checkpoint has replaced for a month, as in other programs
    weights       of a model that has no row: of a run that ended between the two; it writes them again when it resumes;
                  the videos of its validations stay as long as its checkpoints do
    video         of a set of videos, without a row of its own
    network       of an experiment, likewise
    checkpoint    of a model that is finished, and is never trained on; those of an unfinished one are its resume
    remains       of a file that was never whole, and write probes

Nothing else in a store is ever touched.
"""

import posixpath
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipelines.delta_log import replaced
from pipelines.models import VALIDATION
from pipelines.progress import progress
from pipelines.schemas import SCHEMAS
from pipelines.store import Store

_PART = 1000
"""Files that are deleted before the logs are read again."""

_FOLDERS = ("weights", "renders", "networks", "runs")
"""Folders beside the tables in which something may be orphaned."""

_LOGS = tuple(f"{name}/_delta_log" for name in SCHEMAS)

_MONTH_S = 30 * 86_400.0
"""Seconds for which other programs may still ask a table how it was."""

_NAMED = {
    "videos": re.compile(r"renders/[^/]+/[0-9a-f]{64}(-[0-9a-f]{16})?\.(mp4|mkv)"),
    "trials": re.compile(r"networks/[0-9a-f]{64}(-[0-9a-f]{16})?\.safetensors"),
}
"""Files that rows of a table name in their column `file`."""

_CLOCK_S = 1.0
"""Listings of S3 give times to the millisecond, or to the second."""


@dataclass(frozen=True)
class Orphan:
    """A file that nothing names."""

    path: str
    """Below the store's root."""
    bytes: int
    changed: float
    """Seconds since 1970 at which it was last changed, by the clock of the disk or the server."""


def orphans(store: Store, older_than_s: float) -> list[Orphan]:
    """Return the orphans that were last changed at least so many seconds ago, by path.

    A run that is under way has files that it has not committed: they are younger than `older_than_s`, which must be
    longer than any run goes without a commit.
    """
    latest, found = time.time() - older_than_s, list[Orphan]()
    with progress("gc: list", 1 + len(SCHEMAS) + len(_LOGS) + len(_FOLDERS)) as advance:
        for folder in ("", *SCHEMAS, *_LOGS, *_FOLDERS):
            # Listed before the log is read: what is committed meanwhile is no orphan.
            listed = [file for file in _files(store, folder) if file.changed <= latest]
            found += _of_nobody(store, listed)
            advance(1)
    return sorted(found, key=lambda file: file.path)


def collect(store: Store, found: Sequence[Orphan]) -> list[Orphan]:
    """Delete orphans and return what was deleted.

    Each is looked at again just before: what a run has committed or written anew since it was found stays.
    """
    deleted: list[Orphan] = []
    with progress("gc: delete", len(found)) as advance:
        for start in range(0, len(found), _PART):
            for file in _of_nobody(store, found[start : start + _PART]):
                with suppress(FileNotFoundError):  # another `gc` was here
                    if _changed(store.filesystem.info(store.path(file.path))) <= file.changed + _CLOCK_S:
                        store.filesystem.rm_file(store.path(file.path))
                        deleted.append(file)
            advance(len(found[start : start + _PART]))
    return deleted


def _of_nobody(store: Store, files: Iterable[Orphan]) -> list[Orphan]:
    names = _Names(store)
    return [file for file in files if names.is_orphan(file.path)]


class _Names:
    """What the tables name, and what their logs need no more: each is read when it is first asked for, once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, frozenset[str]] = {}

    def is_orphan(self, path: str) -> bool:
        top, _, below = path.partition("/")
        name, first = posixpath.basename(path), below.partition("/")[0]
        if name.endswith(".partial") or name.startswith(".write-probe-"):
            return True
        if below.startswith("_delta_log/"):
            return path in self._named(f"{top}/_delta_log")
        if top in SCHEMAS:
            return name == below and name.endswith(".parquet") and path not in self._named(top)
        if top == "weights":
            return first != name and first not in self._named("model keys") and not self._in_training(first, below)
        if top == "runs":
            return first != name and first in self._named("model keys")
        by = next((table for table, pattern in _NAMED.items() if pattern.fullmatch(path)), None)
        return by is not None and path not in self._named(f"files of {by}")

    def _in_training(self, key: str, below: str) -> bool:
        """Whether a file is of a validation, and its model's run has checkpoints."""
        validates = below.startswith(f"{key}/{VALIDATION}/")
        return validates and self._store.filesystem.exists(self._store.path("runs", key))

    def _named(self, what: str) -> frozenset[str]:
        if what not in self._known:
            self._known[what] = frozenset(self._read(what))
        return self._known[what]

    def _read(self, what: str) -> Iterable[str]:
        match what:
            case "model keys":
                return self._store.table("models").states()
            case "files of videos" | "files of trials":
                table = what.removeprefix("files of ")
                return self._store.table(table).read(["file"])["file"].drop_null().to_pylist()
            case log if log in _LOGS:
                month_ago = time.time() - _MONTH_S
                return replaced([file.path for file in _files(self._store, log) if file.changed <= month_ago])
        return (f"{what}/{name}" for name in self._store.table(what).log()["name"].to_pylist())


def _files(store: Store, folder: str) -> Iterator[Orphan]:
    """List a folder's files: those right in it, of the root and of tables; all below it, of the others."""
    place = store.path(folder) if folder else store.root
    with suppress(FileNotFoundError):
        if folder in _FOLDERS:
            listed: Iterable[dict[str, Any]] = store.filesystem.find(place, detail=True).values()  # type: ignore[union-attr]
        else:
            listed = store.filesystem.ls(place, detail=True)
        for file in listed:
            if file["type"] == "file":
                path = posixpath.join(folder, posixpath.relpath(file["name"], place))
                yield Orphan(path, file["size"], _changed(file))


def _changed(file: dict[str, Any]) -> float:
    """Seconds since 1970 at which a file was last changed, on a disk or on S3."""
    changed = file["mtime"] if "mtime" in file else file["LastModified"]
    return changed.timestamp() if isinstance(changed, datetime) else float(changed)
