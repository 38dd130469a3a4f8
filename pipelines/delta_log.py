"""The log of a Delta table: read part by part, followed from version to version, and appended to.

It is read and written here, since deltalake (1.6) holds 4 KB of memory for each data file that a log names. The form is
the Delta protocol's (https://github.com/delta-io/delta/blob/master/PROTOCOL.md), so that other programs read the
tables, and may compact them.

A commit writes the file of the next version if it is not there: of two that stand on the same version one is refused.
"""

import itertools
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import fsspec
import pyarrow as pa

from equivdm.errors import EquivdmError
from pipelines import delta_checkpoint
from pipelines.arrow import compute
from pipelines.delta_actions import READER, WRITER, Action, Said, data_files, now_ms, said
from pipelines.exclusive import create


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


class Snapshot(NamedTuple):
    """A log as it is at a version: a checkpoint, and the commits after it."""

    version: int
    """-1 where nobody has created the table."""
    checkpoint: Sequence[str]
    """Paths of the checkpoint's files; none before the first."""
    commits: int
    """After the checkpoint."""
    since: Said
    """What these say."""
    head: Mapping[str, Action]
    """The table's `protocol` and `metaData`."""


@dataclass(frozen=True)
class DeltaLog:
    """The log of one table."""

    table: str
    """Name of the table."""
    folder: str
    """Folder of the table."""
    filesystem: fsspec.AbstractFileSystem

    def snapshot(self) -> Snapshot:
        """Return the log as it is now.

        Raises EquivdmError for a table of a kind that this project does not make.
        """
        versions, checkpoints = self._listed()
        first = max(checkpoints, default=-1) + 1
        if versions and not checkpoints and min(versions):
            raise EquivdmError(f"table {self.table}: got a log without version 0 or a checkpoint, wanted the whole log")
        after = list(itertools.takewhile(versions.__contains__, itertools.count(first)))
        since = said(self._texts([self._path(version) for version in after]))
        checkpoint = checkpoints.get(first - 1, [])
        head = {**delta_checkpoint.read_head(self.filesystem, checkpoint), **since.head}
        self._check(head)
        return Snapshot(first - 1 + len(after), checkpoint, len(after), since, head)

    def files(self, at: Snapshot | None = None) -> Iterator[pa.Table]:
        """Yield the data files of a snapshot, or of now, as `FILES` has them, part by part."""
        yield from map(data_files, self._entries(at or self.snapshot()))

    def follow(self, version: int) -> tuple[int, Said]:
        """Return the version of now and what was committed after `version`; one request where that is nothing."""
        bodies = list[bytes]()
        while (body := self._body(version + len(bodies) + 1)) is not None:
            bodies.append(body)
        found = said(bodies)
        self._check(found.head)
        return version + len(bodies), found

    def commit(self, version: int, actions: Sequence[Action]) -> None:
        """Write a version. Raises FileExistsError where it is there already.

        Where the very commit took effect, its answer was lost, and the client tried again, that is raised too: the log
        knows.
        """
        about = {"timestamp": now_ms(), "operation": "WRITE", "operationParameters": {"mode": "Append"}}
        lines = [{"commitInfo": about | {"engineInfo": "equivdm"}}, *actions]
        create(self.filesystem, self._path(version), "".join(json.dumps(line) + "\n" for line in lines).encode())

    def write_checkpoint(self) -> None:
        """Write what the log says now into one file, so that reading it does not begin at version 0."""
        at = self.snapshot()
        delta_checkpoint.write(self.filesystem, self.folder, at.version, at.head, self._entries(at))

    def _entries(self, at: Snapshot) -> Iterator[pa.Table]:
        for path in at.checkpoint:
            for part in delta_checkpoint.read(self.filesystem, path):
                changed = compute.is_in(part["path"], value_set=at.since.changed) if len(at.since.changed) else None
                yield part if changed is None else part.filter(compute.invert(changed))
        added = at.since.added
        yield from (added.slice(start, _PART) for start in range(0, len(added), _PART))

    def _listed(self) -> tuple[set[int], dict[int, list[str]]]:
        """Return the versions that are there, and the files of checkpoints that are whole, by version."""
        try:
            listed = self.filesystem.ls(f"{self.folder}/_delta_log", detail=False)
        except FileNotFoundError:
            listed = []
        return {int(match[1]) for match in map(_COMMIT.fullmatch, listed) if match}, _checkpoints(listed)

    def _texts(self, paths: Sequence[str]) -> Iterator[bytes]:
        """Yield the lines of commits that are there, one by one; on S3 several are asked for at a time."""
        for start in range(0, len(paths), _AT_ONCE):
            bodies = cast(dict[str, bytes], self.filesystem.cat(list(paths[start : start + _AT_ONCE])))
            yield from (bodies[path] for path in paths[start : start + _AT_ONCE])

    def _body(self, version: int) -> bytes | None:
        try:
            return cast(bytes, self.filesystem.cat_file(self._path(version)))
        except FileNotFoundError:
            return None

    def _check(self, head: Mapping[str, Action]) -> None:
        """Raise EquivdmError for a table that this project would read wrong."""
        protocol, about = (head.get(kind) or {} for kind in ("protocol", "metaData"))
        got = protocol.get("minReaderVersion", READER), protocol.get("minWriterVersion", WRITER)
        if got > (READER, WRITER) or about.get("partitionColumns"):
            raise EquivdmError(
                f"table {self.table}: got a Delta table for readers {got[0]} and writers {got[1]}, wanted {READER} and "
                f"{WRITER}, without partitions: another program has changed it; copy its rows into a new store"
            )

    def _path(self, version: int) -> str:
        return f"{self.folder}/_delta_log/{version:020d}.json"


def replaced(paths: Collection[str]) -> list[str]:
    """Return the commits and checkpoints among a log's files that come before the newest checkpoint among them."""
    newest = max(_checkpoints(paths), default=0)
    matches = (_COMMIT.fullmatch(path) or _CHECKPOINT.fullmatch(path) for path in paths)
    return [match[0] for match in matches if match and int(match[1]) < newest]


_COMMIT = re.compile(r".*/(\d{20})\.json")
_CHECKPOINT = re.compile(r".*/(\d{20})\.checkpoint(?:\.\d{10}\.(\d{10}))?\.parquet")
"""Of one file, or of several: how many there are is the last of their numbers."""

_PART = 16_384
"""Data files that are looked at together."""

_AT_ONCE = 16
"""Commits that are read at once."""


def _checkpoints(paths: Iterable[str]) -> dict[int, list[str]]:
    """Return the files of each checkpoint that is whole, by version."""
    found = dict[int, dict[str, int]]()
    for match in filter(None, map(_CHECKPOINT.fullmatch, sorted(paths))):
        found.setdefault(int(match[1]), {})[match[0]] = int(match[2] or 1)
    return {version: list(parts) for version, parts in found.items() if {len(parts)} == set(parts.values())}
