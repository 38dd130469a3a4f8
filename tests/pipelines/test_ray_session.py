"""The embedded Ray."""

import os
import time

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


def test_a_worker_outlives_a_pause_though_actors_are_more_than_cpus() -> None:
    """Ray alone would end it after a second, and the next task would import all that it needs again."""
    import ray

    @ray.remote(num_cpus=0)
    class Holder:
        def ready(self) -> None:
            return

    @ray.remote
    def process() -> int:
        return os.getpid()

    holders = [Holder.remote() for _ in range(3)]
    ray.get([holder.ready.remote() for holder in holders])
    first = ray.get(process.remote())
    time.sleep(3)
    alive = {number for number in os.listdir("/proc") if number.isdecimal()}
    assert str(first) in alive
