"""What a worker is told from outside: that its process shall end, that its machine will be taken away, that the user
wants to stop. One worker hears it, and all of them act on it at the same step.
"""

import signal
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import torch
import torch.distributed

from pipelines.loop import Notice

LOOK_EVERY_S = 1.0
"""Seconds between two questions to Ray and to the driver; each costs a few milliseconds."""

_TERMINATED = threading.Event()


def listen_for_sigterm() -> None:
    """Have SIGTERM end this worker's training after the step, not its process. Of a process's main thread only."""
    signal.signal(signal.SIGTERM, _on_sigterm)


def _on_sigterm(_: int, __: FrameType | None) -> None:
    _TERMINATED.set()


class Agreement:
    """Flags that any worker may raise, and that all of them see at the same step: the next.

    The sum over the workers is on its way while a step computes, so that no step waits for it.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._raised, self._work = torch.zeros(0), None

    def exchange(self, mine: Sequence[bool]) -> list[bool]:
        """Send this worker's flags, and return those that any worker sent a call ago; every worker must call it."""
        if self._work is None:
            agreed = [False] * len(mine)
        else:
            self._work.wait()
            agreed = [count > 0 for count in self._raised.tolist()]
        self._raised = torch.tensor(mine, dtype=torch.int32, device=self._device)
        self._work = torch.distributed.all_reduce(self._raised, async_op=True)
        return agreed


class Ears:
    """What the workers hear, step by step."""

    def __init__(self, board: Any, device: torch.device, rank: int, now: Callable[[], float] = time.monotonic) -> None:
        """Listen. The worker of rank 0 asks the board, and sets the time at which all ask Ray. `now` gives seconds."""
        self._board, self._first, self._now = board, rank == 0, now
        self._agreement, self._looked, self._known = Agreement(device), now(), None

    def hear(self) -> Notice:
        """Return what to do after this step; every worker must call it after every step."""
        looks = self._first and self._now() - self._looked >= LOOK_EVERY_S
        stops = _TERMINATED.is_set() or (looks and self._asked_to_stop())
        if looks:
            self._looked = self._now()
        stop, look = self._agreement.exchange([stops, looks])
        return Notice(save=stop or (look and self._drained()), stop=stop)

    def _asked_to_stop(self) -> bool:
        import ray

        return ray.get(self._board.stopping.remote())

    def _drained(self) -> bool:
        """Whether Ray says of a machine that it will be taken away, and has not said so before."""
        import ray.train

        known, self._known = self._known, ray.train.get_preemption_info()
        return self._known is not None and self._known != known
