"""A table's log as this process knows it: what was read once is not read again, and of a commit only what is new."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import pyarrow as pa

from pipelines.delta_actions import Action, creation, data_files
from pipelines.delta_log import DeltaLog
from pipelines.patience import FAULTS
from pipelines.states import States

_COMMITS, _NEW = 100, 20_000
"""Commits, or new data files, after which a checkpoint is due at the soonest: a reader has these in memory."""

_SHARE = 0.1
"""Of the log's data files, how many must be new for a checkpoint, which is written anew as a whole."""


_KNOWN_S = 3600.0
"""Seconds after which all is read again: versions that follow an old one may have been cleaned away, after a month."""


class KeptLog:
    """The states of a table's keys, as of the version that was last looked at."""

    def __init__(self, log: DeltaLog, schema: pa.Schema, read: Callable[[pa.Table], pa.Table]) -> None:
        """Begin with nothing. `read` gives the states that data files tell, given as `FILES` has them."""
        self._log, self._schema, self._read = log, schema, read
        self._lock = threading.Lock()
        self._version: int | None = None
        self._looked = float("-inf")
        self._states = States.empty()
        self._files, self._new, self._commits = 0, 0, 0

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep this process's other threads from the log, from looking at it to the commit that stands on it."""
        with self._lock:
            yield

    def now(self) -> States:
        """Return the latest states as they are now. What reads the log, or data files, may raise."""
        now = time.monotonic()
        known = None if now - self._looked > _KNOWN_S else self._version
        states = self._begin() if known is None else self._follow(known)
        self._looked = now
        return states

    def commit(self, actions: Sequence[Action], attempts: pa.Table) -> None:
        """Write the version after the one that `now` looked at, and a checkpoint where one is due.

        `attempts` are what the new data files say, as `pipelines.states.SCHEMA` has it. Raises FileExistsError where
        another run has written that version, and what the store raises: then it may be written nevertheless.
        """
        assert self._version is not None, "commit: wanted a look at the log before it"
        version = self._version + 1
        self._log.commit(version, [*([] if version else creation(self._schema)), *actions])
        self._grow(self._states.after(attempts), version, len(actions))
        if self._new >= _SHARE * self._files and (self._commits >= _COMMITS or self._new >= _NEW):
            with suppress(*FAULTS):  # the next commit tries again
                self._log.write_checkpoint()
                self._new, self._commits = 0, 0

    def _begin(self) -> States:
        at = self._log.snapshot()
        states, files = States.empty(), 0
        for part in self._log.files(at):
            states, files = states.after(self._read(part)), files + len(part)
        self._states, self._version = states, at.version
        self._files, self._new, self._commits = files, len(at.since.added), at.commits
        return states

    def _follow(self, known: int) -> States:
        version, said = self._log.follow(known)
        if len(said.changed):
            return self._begin()
        if version != known:
            self._grow(self._states.after(self._read(data_files(said.added))), version, len(said.added))
        return self._states

    def _grow(self, states: States, version: int, files: int) -> None:
        self._commits += version - (self._version or 0)
        self._states, self._version = states, version
        self._files, self._new = self._files + files, self._new + files
