"""How items enter a Ray Data pipeline: each as a block of its own, and of many only so many at a time.

A step that dies costs one item, not its neighbours. Items that wait in a pipeline take 30 KB each of the driver's
memory; and if they came in waves, all workers would wait for the last item of each.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from pipelines.ray_session import beside_driver
from pipelines.tables import Row

if TYPE_CHECKING:
    import ray.data

FEW = 2_000
"""Items that are handed over at once: what hands over more takes a second to start."""

SESSION, OF_A_WORKER = 20_000, 500
"""Items of one execution at least, and for each worker: the end of one, when workers wait for its last items, is to
weigh little. Not more, since Ray Data keeps 3 KB in the driver on each until the execution ends (2.60)."""

AHEAD = 4_000
"""Items that are on their way at least: enough for all workers, with a queue before each step."""

STALLED_S = 60.0
"""Seconds without any item that came back, after which others follow all the same: those may be lost, whose room they
have, or slow, and then there is no hurry."""

_AT_A_TIME = 100


class Intake:
    """Items on their way through a pipeline; they are handed over while the block runs."""

    def __init__(self, items: Iterator[Row], ahead: int) -> None:
        """Take items, each with its `key`, of which at most `ahead` are on their way at a time."""
        first = list(islice(items, FEW + 1))
        self._few = first if len(first) <= FEW else None
        self._items, self._ahead = chain(first, items), ahead
        self._open: dict[str, Row] = {}
        self._fault: BaseException | None = None
        self._moved = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._hand_over, name="intake", daemon=True)

    def dataset(self) -> "ray.data.Dataset":
        """Return the items as a dataset with a block for each, in the Ray session that is open."""
        import ray.data
        from ray.util.queue import Queue

        if self._few is not None:
            self._note(self._few)
            return items_alone(self._few)
        # Beside the driver, so that no node that is lost takes items with it.
        here = beside_driver()
        self._queue = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
        source = ray.data.from_items([{"number": 0}])
        rows = source.flat_map(
            cast(Any, _take),
            fn_kwargs={"queue": self._queue},
            num_cpus=0,
            scheduling_strategy=here,
            ray_remote_args_fn=_once,
        )
        rows.context.target_max_block_size = 1
        return rows

    def back(self, key: str) -> None:
        """Note that an item has come back, however it ended."""
        self._open.pop(key, None)
        self._moved = time.monotonic()

    @property
    def lost(self) -> list[Row]:
        """The items that did not come back."""
        return list(self._open.values())

    def __enter__(self) -> Self:
        if self._few is None:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        from ray.exceptions import RayError

        self._ended.set()
        if self._few is None:
            self._thread.join()
            with suppress(RayError):
                self._queue.shutdown(force=True)
        if self._fault is not None and error is None:
            raise self._fault

    def _hand_over(self) -> None:
        from ray.exceptions import RayError

        try:
            while items := list(islice(self._items, _AT_A_TIME)):
                while len(self._open) >= self._ahead and time.monotonic() - self._moved < STALLED_S:
                    if self._ended.wait(0.1):
                        return
                self._note(items)
                self._queue.put(items)
        except BaseException as fault:  # noqa: BLE001 - raised by the driver, when what is on its way has come back
            self._fault = fault
        finally:
            with suppress(RayError):  # without Ray there is nobody left to wait
                self._queue.put(None)

    def _note(self, items: Sequence[Row]) -> None:
        """Note that items are on their way; one may stand for several."""
        self._open |= {one["key"]: item | one for item in items for one in item.get("wanted") or [item]}
        self._moved = time.monotonic()


def intakes(items: Iterator[Row], workers: float) -> Iterator[Intake]:
    """Yield the parts of a job that one execution takes; `workers` is how many may be at work at a time."""
    while first := list(islice(items, 1)):
        yield Intake(islice(chain(first, items), session(workers)), max(AHEAD, int(8 * workers)))


def session(workers: float) -> int:
    """Return how many items one execution takes."""
    return max(SESSION, int(OF_A_WORKER * workers))


def items_alone(items: Sequence[Row]) -> "ray.data.Dataset":
    """Return a dataset with a block for each item.

    The blocks are made here, by the driver: a task that splits them would wait for a CPU, and for ever where model
    actors hold all there are.
    """
    import ray.data

    return ray.data.from_items(list(items), override_num_blocks=len(items))


def _take(_: Row, queue: Any) -> Iterator[Row]:
    while (items := queue.get()) is not None:
        yield from items


def _once() -> dict[str, int]:
    return {"max_retries": 0}
