"""What the steps of a batch job report, added up: workers tell an actor, the driver asks it.

The module loads neither torch nor Ray Data, so that its actor starts quickly. Steps hold a `Reporter`, a small handle
that travels to them as an argument:

    reporter = start_tally("preprocess")                     # the driver, inside a Ray session
    items.map(motion, fn_args=(reporter,), ...)

    with reporter.stage("motion", bytes_in=size) as item:    # a step, in a worker
        ...
        item.outcome, item.bytes_out = "filtered", size

A reporter without an actor does nothing: steps run as they are where there is no Ray.
"""

import functools
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from pipelines.prometheus import count_item
from pipelines.ray_session import beside_driver

SEND_EVERY_S = 0.25
"""A process tells the tally at most this often, and holds nothing back for longer."""

SKIPPED = "skipped"
"""Outcome of a stage for an item that was passed by: it failed, or was filtered, in a stage before."""

FAILED = ("failed", "quarantined")
"""Outcomes that are failures."""


@dataclass(frozen=True)
class Sums:
    """Figures of one stage, added up over items."""

    outcomes: Counter[str] = field(default_factory=Counter)
    """Items by outcome, those passed by among them."""
    seconds: float = 0.0
    """Time that workers spent on them, added up over workers."""
    bytes_in: int = 0
    bytes_out: int = 0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.outcomes + other.outcomes,
            self.seconds + other.seconds,
            self.bytes_in + other.bytes_in,
            self.bytes_out + other.bytes_out,
        )

    @property
    def through(self) -> int:
        """Items that the stage is done with, those passed by among them."""
        return self.outcomes.total()

    @property
    def failed(self) -> int:
        """Items that failed in this stage."""
        return sum(self.outcomes[outcome] for outcome in FAILED)


def add_up(one: Mapping[str, Sums], other: Mapping[str, Sums]) -> dict[str, Sums]:
    """Return the sums of both, by stage; stages keep the order in which they came."""
    return {name: one.get(name, Sums()) + other.get(name, Sums()) for name in dict.fromkeys([*one, *other])}


class Tally:
    """The actor: what all processes have reported, by the part of the run and by stage."""

    def __init__(self) -> None:
        self._sums = defaultdict[str, dict[str, Sums]](dict)

    def add(self, part: str, sums: Mapping[str, Sums]) -> None:
        """Take what a process has gathered in a part of the run."""
        self._sums[part] = add_up(self._sums[part], sums)

    def sums(self, part: str) -> dict[str, Sums]:
        """Return the sums of that part so far, by stage."""
        return self._sums[part]


@dataclass
class Item:
    """One item in one stage; a step may change what is reported of it."""

    outcome: str = "done"
    bytes_in: int = 0
    bytes_out: int = 0


@dataclass(frozen=True)
class Reporter:
    """A job's handle to its tally; picklable. Without an actor, outside Ray, it does nothing."""

    job: str
    actor: Any = None
    """Handle of a `Tally`."""
    name: str = field(default_factory=lambda: uuid4().hex)
    """Tells one part of a run, or one run, from another in what lives through both: the tally, or a worker."""

    def anew(self) -> "Reporter":
        """Return a reporter to the same tally that counts from nothing."""
        return Reporter(self.job, self.actor)

    @contextmanager
    def stage(self, name: str, bytes_in: int = 0) -> Iterator[Item]:
        """Time the block as one item of a stage. What it raises is reported as `failed`, and goes on."""
        item, started = Item(bytes_in=bytes_in), time.perf_counter()
        try:
            yield item
        except BaseException:
            item.outcome = "failed"
            raise
        finally:
            self.report(name, item.outcome, time.perf_counter() - started, item.bytes_in, item.bytes_out)

    def report(self, stage: str, outcome: str, seconds: float = 0.0, bytes_in: int = 0, bytes_out: int = 0) -> None:
        """Count one item of a stage: now for Prometheus, within `SEND_EVERY_S` for the driver."""
        if self._connected():
            count_item(self.job, stage, outcome, seconds, {"in": bytes_in, "out": bytes_out})
            _outbox(self.name).add({stage: Sums(Counter({outcome: 1}), seconds, bytes_in, bytes_out)}, self.actor)

    def flush(self) -> None:
        """Tell the tally at once what this process has gathered, as after the last step of an item."""
        if self._connected():
            _outbox(self.name).send(self.actor)

    def read(self, timeout_s: float) -> dict[str, Sums] | None:
        """Return the sums of all processes by stage, or None where the tally is gone or does not answer in time."""
        if not self._connected():
            return None
        import ray
        from ray.exceptions import RayError

        try:
            return ray.get(self.actor.sums.remote(self.name), timeout=timeout_s)
        except RayError:
            return None

    def _connected(self) -> bool:
        if self.actor is None:
            return False
        import ray

        return ray.is_initialized()


def start_tally(job: str) -> Reporter:
    """Start a tally in the Ray session that is open. It takes no CPU, and ends with the last of its handles."""
    import ray

    return Reporter(job, ray.remote(num_cpus=0)(Tally).options(scheduling_strategy=beside_driver()).remote())


class _Outbox:
    """What this process has yet to tell one tally."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._waiting = dict[str, Sums]()
        self._sent = float("-inf")
        self._timer: threading.Timer | None = None

    def add(self, sums: Mapping[str, Sums], actor: Any) -> None:
        """Send what waits if the last time is long enough ago, else leave that to a timer."""
        with self._lock:
            self._waiting = add_up(self._waiting, sums)
            early = self._sent + SEND_EVERY_S - time.monotonic()
            if early > 0 and self._timer is None:
                # The process may have no further item for minutes.
                self._timer = threading.Timer(early, self.send, (actor,))
                self._timer.daemon = True
                self._timer.start()
        if early <= 0:
            self.send(actor)

    def send(self, actor: Any) -> None:
        """Send what waits."""
        from ray.exceptions import RayError

        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            waiting, self._waiting, self._timer = self._waiting, {}, None
            self._sent = time.monotonic()
        if waiting:
            try:
                actor.add.remote(self._name, waiting)
            except RayError:
                return  # figures are lost with their actor; an item must not be


@functools.cache
def _outbox(name: str) -> _Outbox:
    """One for each part of a run that this process works for."""
    return _Outbox(name)
