"""The embedded Ray."""

import os
import time

import psutil
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


def test_nothing_listens_beyond_loopback() -> None:
    """Whoever reaches a port of Ray may run code on the machine."""
    me = psutil.Process()
    listening = {
        (process.name(), at.laddr.ip)
        for process in (me, *me.children(recursive=True))
        for at in process.net_connections("inet")
        if at.status == psutil.CONN_LISTEN
    }
    assert {"raylet", "gcs_server"} <= {name for name, _ in listening}
    assert {ip for _, ip in listening} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}, listening
