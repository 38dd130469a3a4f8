"""CPU seconds of this process and its descendants: what a run costs, whatever else the machine does meanwhile."""

import threading
from types import TracebackType
from typing import Self

import psutil

_EVERY_S = 0.5
"""Between two looks: what a process does after the last look at it is not seen."""


class CpuSeconds:
    """Adds up the CPU seconds of the block, over this process and its descendants, those that end in it too."""

    def __init__(self) -> None:
        self._before, self._latest = dict[psutil.Process, float](), dict[psutil.Process, float]()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        """Begin to count."""
        self._before = _seconds()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """End."""
        self._ended.set()
        self._thread.join()
        self._latest |= _seconds()

    @property
    def total(self) -> float:
        """The seconds of the block."""
        return sum(seconds - self._before.get(process, 0.0) for process, seconds in self._latest.items())

    def _watch(self) -> None:
        while not self._ended.wait(_EVERY_S):
            self._latest |= _seconds()


def _seconds() -> dict[psutil.Process, float]:
    found: dict[psutil.Process, float] = {}
    own = psutil.Process()
    for process in (own, *own.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.Error:  # it has ended meanwhile
            continue
        found[process] = times.user + times.system
    return found
