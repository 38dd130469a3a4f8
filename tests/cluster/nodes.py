"""A Ray cluster of several nodes on one machine, each of processes of its own, with a job server that wants a token.

`python -m tests.cluster.nodes WORKERS` starts it, says where the job server is, puts another node in the place of the
oldest worker, which it kills, whenever a line is written to its standard input, and ends when that closes.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

TOKEN = "a-token-that-only-this-test-knows-0123456789"


SOON_LOST = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "5000",
    "RAY_health_check_failure_threshold": "4",
    "RAY_grpc_client_keepalive_timeout_ms": "20000",
}
"""A node that says nothing is lost after 24 seconds, not Ray's 65, and what was on its way to it after 20, not 120."""


@dataclass(frozen=True)
class Network:
    """Where nodes meet."""

    outside: str
    """Address at which they reach the process of the tests."""
    starter: Sequence[str]
    """Command that starts as many workers as its last argument says, and a head; see `serve`."""


LOOPBACK = Network("127.0.0.1", (sys.executable, "-m", "tests.cluster.nodes"))


@dataclass(frozen=True)
class Nodes:
    """The cluster, as a test sees it."""

    address: str
    """Of the job server."""
    logs: Path
    """Folder that has Ray's own logs."""
    process: subprocess.Popen[str]
    environment: Mapping[str, str]
    """Of somebody who knows the token."""

    def strike(self) -> None:
        """Kill the oldest worker node with all that runs on it; another one takes its place."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write("strike\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "struck\n"

    def equivdm(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a verb as on a laptop that knows the job server's address and token."""
        known = {**self.environment, "RAY_API_SERVER_ADDRESS": self.address}
        program = [sys.executable, "-m", "jobs.cli", *command]
        return subprocess.run(program, cwd=ROOT, env=known, text=True, capture_output=True, check=False)


@contextmanager
def nodes(workers: int, network: Network = LOOPBACK, **environment: str) -> Iterator[Nodes]:
    """Give a cluster of a head and so many workers, of one CPU each."""
    # Jobs run `python`, as on a cluster's nodes: the one that runs the tests.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    known = {**os.environ, **environment, "PATH": path, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
    known["RAY_raylet_start_wait_time_s"] = "120"  # 60 by default: several nodes start at once on few CPUs
    known |= SOON_LOST
    with subprocess.Popen(
        [*network.starter, str(workers)], cwd=ROOT, env=known, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        try:
            said = json.loads(next((line for line in process.stdout if line.startswith("{")), "{}"))
            yield Nodes(said["address"], Path(said["logs"]), process, known)
        finally:
            assert process.stdin
            process.stdin.close()
            try:
                process.wait(60)
            finally:
                process.kill()


def main(workers: int) -> None:
    """Start the nodes, and do what standard input says."""
    from ray.cluster_utils import Cluster

    head = {"include_dashboard": True, "dashboard_host": "127.0.0.1", "dashboard_port": 0}
    cluster = Cluster(initialize_head=True, head_node_args=_node() | head)
    added = [cluster.add_node(**_node()) for _ in range(workers)]
    cluster.wait_for_nodes()
    head_node = cluster.head_node

    def strike() -> None:
        cluster.remove_node(added.pop(0), allow_graceful=False)
        added.append(cluster.add_node(**_node()))

    serve(f"http://{head_node.webui_url}", Path(head_node.get_logs_dir_path()), strike)
    cluster.shutdown()


def serve(address: str, logs: Path, strike: Callable[[], None]) -> None:
    """Say where the job server and the logs are, and strike at each line of standard input, until it closes."""
    _say(json.dumps({"address": address, "logs": str(logs)}))
    for _ in sys.stdin:
        strike()
        _say("struck")


def _node() -> dict[str, Any]:
    """A node that no other one on this machine is in the way of: each agent listens on a port of its own, and unpacks
    a job's code into a folder of its own, which it would else take away from under the others' workers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {"num_cpus": 1, "dashboard_agent_listen_port": port, "runtime_env_dir_name": f"runtime_resources_{port}"}


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
