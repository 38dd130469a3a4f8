"""A program for test_faults: a job on a Ray cluster of two nodes, of which the second is killed with items on it."""

import sys
import threading
import time

import psutil
from ray.cluster_utils import Cluster

from pipelines import preprocess
from pipelines.config import PreprocessJob
from pipelines.settings import RayConfig
from tests.pipelines.disturbed import parts_written


def main(spec: str) -> None:
    """Run the job, and kill the second node's raylet when tasks of the job run on it."""
    # Two CPUs on the first: one for the actor of latents, one for the tasks, when the second node is gone.
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    job = PreprocessJob.model_validate_json(spec)
    job = job.model_copy(update={"ray": RayConfig(address=cluster.address)})
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    threading.Thread(target=_strike, args=(raylet, job), daemon=True).start()
    preprocess.run(job)
    cluster.shutdown()


def _strike(raylet: psutil.Process, job: PreprocessJob) -> None:
    while not (parts_written(job) and _works(raylet)):
        time.sleep(0.005)
    raylet.kill()
    sys.stdout.write("node killed with items on it\n")
    sys.stdout.flush()


def _works(raylet: psutil.Process) -> bool:
    titles = []
    for process in raylet.children(recursive=True):
        try:
            titles.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return any(title.startswith("ray::Map") for title in titles)


if __name__ == "__main__":
    main(sys.argv[1])
