"""The items of experiments in the order of their needs, and whether the next one ends in time."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from benchmarks.shelf import Shelf
from equivdm.errors import EquivdmError
from equivdm.findings.trials import Trial
from equivdm.machine import machine_name
from equivdm.study.experiments import EXPERIMENTS
from equivdm.study.models import make_model, open_network
from pipelines.config import StudyConfig
from pipelines.reproducing.items import MeasurementItem, ModelItem, measurement_items, model_items, model_key
from pipelines.reproducing.summary import Ended

Item = ModelItem | MeasurementItem

ATTEMPTS = 2
"""Calls that may begin an item."""

SLACK = 1.3
"""An item may take so many times as long as the slowest of its kind."""


def items_of(studies: Sequence[StudyConfig]) -> list[Item]:
    """Return all items, each behind what it needs."""
    measurements = measurement_items(studies)
    return [*(item for wave in model_items(measurements) for item in wave), *measurements]


def work(items: Sequence[Item], shelf: Shelf, limit_s: float) -> int:
    """Do what is not done, in order, as long as it ends within the limit; one item at least. Returns how many are left.

    A killed call loses the item that it was at.

    Raises:
        EquivdmError: for an item that `ATTEMPTS` calls have begun and none has ended: it takes longer than they last.
    """
    pace, ended = Pace(limit_s), shelf.ended(item.key for item in items)
    for item in items:
        if item.key in ended:
            pace.saw(item, ended[item.key].seconds)
    pending = [item for item in items if item.key not in ended]
    for number, item in enumerate(pending):
        if number and not pace.allows(item):
            return len(pending) - number
        if shelf.attempts(item.key) >= ATTEMPTS:
            raise EquivdmError(
                f"{item.name}: got {ATTEMPTS} calls that began it and ended before it did, wanted one that ends it: "
                f"give more seconds, or remove {shelf.begun(item.key)} to try again"
            )
        shelf.begin(item.key)
        seconds = do(item, shelf).seconds
        pace.saw(item, seconds)
        print(f"{pace.elapsed_s:6.0f} s  {item.name}: {seconds:.1f} s", flush=True)
    return 0


def do(item: Item, shelf: Shelf) -> Ended:
    """Make a model, or measure, and keep what it comes to."""
    started, state, numbers, notes = time.perf_counter(), None, list[Trial](), ()
    if isinstance(item, ModelItem):
        device, start = item.device, shelf.weights(item.base) if item.base else None
        state = make_model(item.spec, start, shelf.clips, device)
    else:
        device = item.spec.device
        networks = {spec.key: open_network(spec, shelf.weights(model_key(spec)), device) for spec in item.asked}
        found = EXPERIMENTS[item.experiment].measure(item.spec, item.seed, networks, shelf.clips)
        numbers, notes = [Trial(item.seed, *number) for number in found.rows], found.notes
    seconds, day = time.perf_counter() - started, datetime.now(UTC).date().isoformat()
    ended = Ended(seconds, machine_name(device), day, numbers, notes)
    shelf.put(item.key, ended, state)
    return ended


class Pace:
    """Expects of an item what others of its kind took, by their updates; of a new kind, what the longest item took."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s, self._started = limit_s, time.monotonic()
        self._rates, self._longest_s = dict[str, float](), 0.0

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def saw(self, item: Item, seconds: float) -> None:
        """Take what an item took."""
        kind, updates = _kind(item)
        self._rates[kind] = max(self._rates.get(kind, 0.0), seconds / updates)
        self._longest_s = max(self._longest_s, seconds)

    def allows(self, item: Item) -> bool:
        """Whether an item is likely to end in time."""
        kind, updates = _kind(item)
        expected = self._rates[kind] * updates if kind in self._rates else self._longest_s
        return self.elapsed_s + SLACK * expected <= self._limit_s


def _kind(item: Item) -> tuple[str, int]:
    if isinstance(item, MeasurementItem):
        return item.experiment, 1
    spec = item.spec
    return f"{spec.data} {spec.backbone} {spec.batch} {spec.student} {spec.noise.scheme}", spec.steps
