"""The embedded Ray."""

import os
import time

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


def test_workers_outlive_a_pause_though_they_are_more_than_cpus() -> None:
    """Ray alone would end them after a second, and the next tasks would import all that they need again."""
    import ray

    @ray.remote(num_cpus=0.1)
    def process() -> int:
        time.sleep(3)  # long enough for each to get a worker of its own
        return os.getpid()

    workers = set(ray.get([process.remote() for _ in range(6)]))
    assert len(workers) > 2
    time.sleep(5)
    assert workers <= {int(number) for number in os.listdir("/proc") if number.isdecimal()}
