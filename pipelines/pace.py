"""How fast a training goes. None of it decides a result, and no two runs have it alike: it stays out of the history."""

import time
from collections.abc import Callable


class Pace:
    """A worker's stopwatch over its steps; what is done between two of them, such as a checkpoint, is not counted."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        """Start the clock. `now` gives seconds."""
        self._now = now
        self._clear()
        self._mark = now()

    def resume(self) -> None:
        """Go on after a pause: what was since the end of the last step is not counted."""
        self._mark = self._now()

    def arrived(self) -> None:
        """The samples of a step are there: the time until now was waiting for the loader."""
        self._waited += self._lap()

    def stepped(self, flops: float = 0.0) -> None:
        """A step of so many FLOPs is done."""
        self._lap()
        self._steps += 1
        self._flops += flops

    def take(self) -> tuple[float, float, float]:
        """Return the mean seconds of a step, those of them spent waiting for the loader, and its FLOPs; begin anew."""
        means = self._seconds / self._steps, self._waited / self._steps, self._flops / self._steps
        self._clear()
        return means

    def _clear(self) -> None:
        self._seconds, self._waited, self._flops, self._steps = 0.0, 0.0, 0.0, 0

    def _lap(self) -> float:
        now = self._now()
        lap, self._mark = now - self._mark, now
        self._seconds += lap
        return lap


def speed(batch: int, seconds: float, waited: float, flops: float = 0.0, peak: float | None = None) -> dict[str, float]:
    """Return clips a second, seconds a step, and the share of a step that is waiting for the loader (0 to 1).

    Where the `peak` FLOP/s of a worker's device is known: also TFLOP/s of a worker, and their share of it (MFU).
    """
    figures = {"clips_per_s": batch / seconds, "s_per_step": seconds, "loader_share": waited / seconds}
    return figures | ({"tflops": flops / seconds / 1e12, "mfu": flops / seconds / peak} if peak else {})
