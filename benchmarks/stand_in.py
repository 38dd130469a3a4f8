"""A batch job whose stages only take time: what the scheduler, the driver and the tables cost, and nothing else.

Items, waves, retries, receipts, commits and the record are those of every job; a stage sleeps and writes a small part.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipelines.batch import Items, Work, run_items
from pipelines.config import PreprocessJob
from pipelines.identity import item_key
from pipelines.intake import SESSION
from pipelines.record import Draft, recording
from pipelines.settings import RayConfig, Resources, SourceConfig, StoreConfig
from pipelines.steps import put, settle, spread_in_turn, step
from pipelines.store import Store, open_store
from pipelines.tables import Row
from pipelines.tally import Reporter

if TYPE_CHECKING:
    import ray.data

BATCH = SESSION
"""Items that are made at once: those of one execution, so that the next are asked for when it has ended."""

FRAMES = 17


@dataclass(frozen=True)
class StandIn:
    """A stage that takes so long, whatever it runs on."""

    seconds: float
    resources: Resources


def run_stand_ins(
    place: Path, items: int, stages: Sequence[StandIn], ray: RayConfig, asked: Callable[[], object] = list
) -> float:
    """Run a job of such stages over so many items, in the Ray session that is open or its own; return its seconds.

    `asked` is called whenever a batch of items is asked for.
    Raises RuntimeError where an item does not end as it should.
    """
    job = PreprocessJob(source=SourceConfig(root=str(place)), store=StoreConfig(root=str(place / "store")), ray=ray)
    store = open_store(job.store)
    started = time.monotonic()
    with recording(store, Draft("preprocess", job)) as draft:
        steps = {_name(number): stage.resources for number, stage in enumerate(stages)}
        work = Work(store.table("clips"), partial(_pipeline, stages=stages, store=store), steps)
        summary = run_items(draft, "stand-ins", _items(items, draft.run, asked), work)
    seconds = time.monotonic() - started
    if summary.counts["done"] != items:
        raise RuntimeError(f"got {summary.counts}, {summary.failures[:1]}, wanted {items} done")
    return seconds


def _pipeline(
    items: "ray.data.Dataset", reporter: Reporter, stages: Sequence[StandIn], store: Store
) -> "ray.data.Dataset":
    last = len(stages) - 1
    steps = [
        (partial(_stage, number=number, seconds=stage.seconds, last=number == last), stage.resources)
        for number, stage in enumerate(stages)
    ]
    return spread_in_turn(items, steps, store=store, reporter=reporter)


def _stage(row: Row, number: int, seconds: float, last: bool, store: Store, reporter: Reporter) -> Row:
    row = step(_name(number))(_sleep)(row, number, seconds, store, reporter=reporter)
    if last:
        row = settle(row, store.table("clips"))
        reporter.flush()
    return row


def _sleep(row: Row, number: int, seconds: float, store: Store) -> Row:
    time.sleep(seconds)
    return put(row, store.table("looks"), item_key(row["key"], number), black=0.0)


def _name(number: int) -> str:
    return f"stage_{number}"


def _items(count: int, run: str, asked: Callable[[], object]) -> Items:
    """Name so many items, with columns as windows have them."""
    keys = pa.array([item_key(run, number) for number in range(count)], pa.string())

    def batches() -> Iterator[pa.Table]:
        for first in range(0, count, BATCH):
            asked()
            yield _windows(keys.slice(first, BATCH), first)

    return Items(keys, batches)


def _windows(keys: pa.Array, first: int) -> pa.Table:
    numbers = np.arange(first, first + len(keys), dtype=np.int32)
    frames = numbers[:, None] + np.arange(FRAMES, dtype=np.int32)
    same = {"window": np.int32(0), "frames": np.int32(FRAMES), "height": np.int32(480), "width": np.int32(832)}
    columns = {
        "key": keys,
        "content": keys,
        "path": pa.array([f"{number:09d}.mp4" for number in numbers]),
        "indices": pa.FixedSizeListArray.from_arrays(pa.array(frames.ravel()), FRAMES),
        "max_attempts": pa.repeat(1, len(keys)),
    }
    return pa.table(columns | {name: pa.repeat(value, len(keys)) for name, value in same.items()})
