"""A table's log as its writer knows it: what was read once is not read again with every commit.

The log of a table of a hundred thousand files takes a third of a second to read, and a commit comes every few seconds.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pyarrow as pa
from deltalake import DeltaTable

from pipelines.states import States


class KeptLog:
    """The log and the states of a table, as of the version that was last looked at."""

    def __init__(self, open_now: Callable[[], DeltaTable], read: Callable[[DeltaTable], States]) -> None:
        """Begin with nothing. `open_now` opens the log, or creates it; `read` gives the states of all its files."""
        self._open, self._read = open_now, read
        self._lock = threading.Lock()
        self._delta: DeltaTable | None = None
        self._states, self._version = States.empty(), -1
        self._own: pa.Table | None = None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep this process's other threads from the log, from looking at it to the commit that stands on it."""
        with self._lock:
            yield

    def now(self) -> tuple[DeltaTable, States]:
        """Return the log and the latest states as they are now. What opens or reads the log may raise."""
        if self._delta is None:
            self._delta = self._open()
        else:
            self._delta.update_incremental()
        version, own, self._own = self._delta.version(), self._own, None
        if own is not None and version == self._version + 1:
            self._states, self._version = self._states.after(own), version
        elif version != self._version:
            self._states, self._version = self._read(self._delta), version
        return self._delta, self._states

    def added(self, attempts: pa.Table) -> None:
        """Note what a commit has just added to the log that `now` gave: it was accepted, so that no other came between.

        `attempts` are as `pipelines.states.SCHEMA` has them.
        """
        self._own = attempts
