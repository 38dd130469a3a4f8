"""A program for test_notices: a training on two of the three nodes of a Ray cluster, of which one is drained, as a
cloud does that takes a machine back.
"""

import json
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster
from ray.core.generated.autoscaler_pb2 import DrainNodeReason

from pipelines.fit import train
from pipelines.ray_session import ray_session
from pipelines.settings import RayConfig, StoreConfig
from pipelines.store import open_store
from pipelines.worker import FitTask
from tests.pipelines.test_fit import settings
from tests.pipelines.toy import Faults, make_toy

NOTICE_S = 12
"""Seconds between the notice and the node's end."""

NEVER = 10**6


def main(root: str) -> None:
    """Train, drain a node with a worker when steps are done, and print sha256 and history."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    cluster.wait_for_nodes()
    diary = Path(root) / "diary"
    threading.Thread(target=_drain, args=(cluster, nodes, diary), daemon=True).start()
    config = settings(2).model_copy(update={"checkpoint_every": NEVER})
    recipe = partial(make_toy, Faults(seconds=1.0, diary=str(diary)))
    task = FitTask("toy", "toy", open_store(StoreConfig(root=root)), config, recipe)
    ray = RayConfig(address=cluster.address)
    with ray_session(ray):
        outcome = train(task, ray)
    sys.stdout.write(json.dumps([outcome.weights, outcome.history]) + "\n")
    cluster.shutdown()


def _drain(cluster: Cluster, nodes: list[Any], diary: Path) -> None:
    while not diary.exists() or not (training := [node for node in nodes if _trains(node)]):
        time.sleep(0.05)
    reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    deadline = time.time_ns() // 10**6 + NOTICE_S * 1000
    client = GcsClient(address=cluster.gcs_address)
    accepted, why = client.drain_node(training[0].node_id, reason, "taken back", deadline)
    assert accepted, why


def _trains(node: Any) -> bool:
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return any("RayTrainWorker" in _command(child) for child in raylet.children(recursive=True))


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has ended meanwhile, as idle workers do
        return ""


if __name__ == "__main__":
    main(sys.argv[1])
