"""The Ray that a job runs on: a given cluster, the one it was submitted to, or an embedded one."""

import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipelines.settings import RayConfig


@contextmanager
def ray_session(config: RayConfig) -> Iterator[None]:
    """Connect to Ray, or start an embedded one that ends with the block. Inside another session it is that session."""
    import ray
    import ray.data

    if ray.is_initialized():
        yield
        return
    _quieten()
    # Ray ends a worker that idles for a second where there are more workers than CPUs, its own actors counted: on a
    # small machine each gap in the pipeline would cost seconds of imports.
    os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "120000")
    address = _address(config)
    on_sigterm = signal.getsignal(signal.SIGTERM)
    if address:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    else:
        # The dashboard stays on, on loopback: Ray Train asks its state API all the time, and warns where it is missing.
        with _on_loopback(), _stderr_aside():
            ray.init(
                address="local",  # not some other Ray that happens to run on this machine
                num_cpus=config.cpus,
                object_store_memory=config.object_store_mib * 2**20,
                include_dashboard=True,
                dashboard_host="127.0.0.1",
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    if threading.current_thread() is threading.main_thread():
        # Ray's own would end Ray first, and the driver before it has committed what arrived.
        signal.signal(signal.SIGTERM, on_sigterm)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # one bar per job is ours
    context.max_errored_blocks = -1  # an item without a receipt is counted by the driver; see pipelines.batch
    context.execution_no_progress_timeout_s = config.no_progress_s
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Have an embedded Ray listen on loopback only, as on other systems: whoever reaches a port can run code."""
    from ray._private import ray_constants

    # Its processes are started with these, and hand them on: Ray's own listeners, and those of torch's workers.
    wanted = {ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0", "GLOO_SOCKET_IFNAME": "lo"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    was, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = was
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def beside_driver() -> Any:
    """Return the strategy by which Ray starts an actor or a task on the driver's node, in the session that is open.

    Any other node may be taken away, and what driver and workers tell each other with it. The affinity is a hard one:
    what wants no CPU goes anywhere with a soft one (Ray 2.60).
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


def is_embedded(config: RayConfig) -> bool:
    """Whether the job's Ray is one of its own, on this machine."""
    return not _address(config)


def _address(config: RayConfig) -> str | None:
    return config.address or os.environ.get("RAY_ADDRESS")


def _quieten() -> None:
    # No usage report, and no line per actor pool from Ray's C++ side on the terminal; Ray's logs keep what matters.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    # Retries of Data's tasks are bounded by an argument that Ray means to drop in 2.64, and that has no successor
    # so far. The package asks for an older Ray; its users need not be told at every run.
    warnings.filterwarnings("ignore", message=".*ray_remote_args", category=DeprecationWarning)
    for name in ("ray", "ray.data", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)


@contextmanager
def _stderr_aside() -> Iterator[None]:
    # Ray's C++ side greets with the log level that it was given, on the file descriptor itself. What goes wrong at the
    # start is raised, and stands in Ray's logs.
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
