"""Threads that wait between calls."""

import multiprocessing
import threading

import numpy as np
import pytest

from equivdm.noise import plan_motion
from equivdm.noise.workers import in_threads
from tests.equivdm.noise.motions import GRID, MOTIONS


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_tasks(threads: int) -> None:
    assert in_threads(lambda number: number**2, range(20), threads) == [number**2 for number in range(20)]


def test_the_same_threads_serve_the_next_call() -> None:
    names = {name for _ in range(5) for name in in_threads(lambda _: threading.current_thread().name, range(8), 3)}
    assert len(names) <= 3


def test_an_error_comes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda number: 1 // number, [1, 0], 2)


def test_a_forked_child_has_threads_of_its_own() -> None:
    """Those of its parent are not there to answer."""
    plan = plan_motion(MOTIONS["turn"](), grid=GRID, threads=2)
    wanted = plan.noise(1, 16, threads=2)
    receiver, sender = multiprocessing.Pipe(duplex=False)
    fork = multiprocessing.get_context("fork")
    child = fork.Process(target=lambda: sender.send(np.array_equal(plan.noise(1, 16, threads=2), wanted)))
    child.start()
    answer = receiver.recv() if receiver.poll(60) else "none"
    child.kill()
    child.join()
    assert answer is True
