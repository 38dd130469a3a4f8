"""What tests of faults share: a job, what its store holds in the end, and a hand that strikes while it runs."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from pipelines import preprocess
from pipelines.audit import audit
from pipelines.config import PreprocessJob
from pipelines.schemas import STAGES
from pipelines.store import open_store
from tests.pipelines.videos import write_scene

RUNS = 3
"""Runs within which a disturbed job must be done; `work.max_attempts` is as many."""

Rows = dict[str, list[dict[str, Any]]]

_OF_THE_RUN = ("created", "run", "seconds", "attempt", "source")
"""Columns that tell how a row came about, not what it says."""


def write_source(folder: Path) -> None:
    """Three scenes of two windows each, and one video that is too short: six clips and a filtered item."""
    for seed in range(3):
        write_scene(folder / f"{seed}.mp4", seed)
    write_scene(folder / "short.mp4", seed=9, frames=4)


def contents(job: PreprocessJob) -> Rows:
    """Return the rows of `clips` and of every stage, each by key, without what differs from run to run."""
    tables = [open_store(job.store).table(name) for name in ("clips", *STAGES)]
    return {table.name: [_lasting(row) for row in table.rows() if _is_last(row)] for table in tables}


def _is_last(row: dict[str, Any]) -> bool:
    return row.get("outcome") != "failed"  # an attempt that the next one made good


def _lasting(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _OF_THE_RUN}


def finish(job: PreprocessJob) -> Rows:
    """Run the same job until it is all well, prove it by an audit, and return what the store holds."""
    for _ in range(RUNS):
        if preprocess.run(job).ok:
            break
    closed = audit(job)
    assert closed.ok, (closed.counts, closed.failures, closed.problems)
    return contents(job)


def parts_written(job: PreprocessJob) -> int:
    """Return how many data files of stages lie in a store in a folder, committed or not."""
    return sum(len(list(Path(job.store.root, stage).glob("*.parquet"))) for stage in STAGES)


def processes(named: str) -> list[psutil.Process]:
    """Return the processes below this one whose title or command line has these words; nobody else's."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if named in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue  # it has just ended
    return found


@contextmanager
def struck(job: PreprocessJob, seed: int, named: str, most: int = 12) -> Iterator[list[int]]:
    """Kill a process of this name when the job has written so many parts (drawn from the seed): yields those killed."""
    after, killed, over = random.Random(seed).randint(1, most), list[int](), threading.Event()

    def strike() -> None:
        while not over.is_set():
            if parts_written(job) >= after and (victims := processes(named)):
                victims[0].kill()
                killed.append(victims[0].pid)
                return
            time.sleep(0.005)

    hand = threading.Thread(target=strike, daemon=True)
    hand.start()
    try:
        yield killed
    finally:
        over.set()
        hand.join()


def wait_for(what: Callable[[], bool], seconds: float = 240.0) -> None:
    """Wait until something is so, or fail."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
