"""Nodes that are machines to each other: each has an address, a loopback, a name, processes, shared memory and
Ray's folder of its own. Only the rest of the file system is shared.

They meet on a bridge in one more namespace, which one pair of interfaces joins to the tests' own. All of it is gone
when the processes in it are.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.nodes import LOOPBACK, Network, serve

START_S = 240
"""Longest that a node may take to start."""

PROBE = """
unshare --net --mount --uts --pid --fork --kill-child --mount-proc sh -ec '
    ip link add bridge type bridge
    ip link add eth0 type veth peer name node
    mount -t tmpfs tmpfs /dev/shm
    nsenter --target 1 --net true
'
"""

# Of the tests' side: $1 is the process that holds the bridge's namespace, $2 the interface here, $3 its address.
JOIN = """
ip link add "$2" type veth peer name outside netns "$1"
nsenter --target "$1" --net sh -ec '
    ip link add bridge type bridge
    ip link set bridge up
    ip link set outside master bridge up
'
ip address add "$3/24" dev "$2"
ip link set "$2" up
"""

# In the node's network: $1 is its name, $2 its address, $3 the way out, $4 its folder; the rest starts Ray. Process 1
# is where the bridge is.
NODE = """
ip link add eth0 type veth peer name "$1" netns 1
nsenter --target 1 --net ip link set "$1" master bridge up
ip link set lo up
ip address add "$2/24" dev eth0
ip link set eth0 up
ip route add default via "$3"
exec unshare --mount --uts --pid --fork --kill-child --mount-proc sh -ec '
    hostname "$1"
    mount --bind "$4/hosts" /etc/hosts
    mount --bind "$4/ray" /tmp/ray
    mount -t tmpfs -o size=512m tmpfs /dev/shm
    shift 4
    exec "$@"
' node "$@"
"""


@contextmanager
def network() -> Iterator[Network]:
    """Give a network for nodes in namespaces, of the range that is set aside for benchmarks; it is this machine's
    loopback where namespaces are not allowed."""
    if subprocess.run(["sh", "-c", PROBE], capture_output=True, check=False).returncode:
        yield LOOPBACK
        return
    # Two runs at once are not in each other's way.
    subnet, interface = f"198.18.{os.getpid() % 256}", f"equi{os.getpid()}"
    with subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin
        assert holder.stdout
        try:
            holder.stdin.write(b"\n")
            holder.stdin.flush()
            holder.stdout.read(1)  # it is in its namespace
            _run_script(JOIN, str(holder.pid), interface, f"{subnet}.1")
            inside = ("nsenter", f"--target={holder.pid}", "--net", "unshare", "--mount", "--pid", "--fork")
            starter = (sys.executable, "-m", "tests.cluster.namespaces", subnet)
            yield Network(f"{subnet}.1", (*inside, "--kill-child", "--mount-proc", *starter))
        finally:
            subprocess.run(["ip", "link", "delete", interface], capture_output=True, check=False)
            holder.stdin.close()


def _run_script(script: str, *values: str) -> None:
    subprocess.run(["sh", "-ec", script, "sh", *values], check=True)


@dataclass(frozen=True)
class Machine:
    """A node: all its processes end with this one."""

    name: str
    process: subprocess.Popen[bytes]
    said: Path
    """File of what `ray start` says."""

    def wait(self) -> None:
        """Wait until it has joined the cluster."""
        deadline = time.monotonic() + START_S
        while "Ray runtime started" not in self.said.read_text():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not start: {self.said.read_text()}")
            time.sleep(0.2)

    def die(self) -> None:
        """Take it off the network without a word, then end all that runs on it."""
        subprocess.run(["ip", "link", "set", self.name, "down"], check=True)
        self.process.kill()
        self.process.wait()


@dataclass
class Cluster:
    """The machines of a network; the first is the head."""

    subnet: str
    folder: Path
    started: int = 0

    @property
    def head(self) -> str:
        return f"{self.subnet}.2"

    def add_head(self) -> Machine:
        return self._add("--head", f"--dashboard-host={self.head}")

    def add_worker(self) -> Machine:
        return self._add(f"--address={self.head}:6379")

    def _add(self, *role: str) -> Machine:
        self.started += 1
        name, address = f"node-{self.started}", f"{self.subnet}.{self.started + 1}"
        folder = self.folder / name
        (folder / "ray").mkdir(parents=True)
        (folder / "hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {name}\n")  # as Debian has it
        ray = [str(Path(sys.executable).parent / "ray"), "start", "--block", "--disable-usage-stats"]
        limits = ["--num-cpus=1", f"--object-store-memory={150 * 2**20}"]
        start = [*ray, *role, *limits, f"--node-ip-address={address}"]
        said = folder / "said.txt"
        with said.open("wb") as output:
            script = ["unshare", "--net", "sh", "-ec", NODE, "node", name, address, f"{self.subnet}.1", str(folder)]
            process = subprocess.Popen([*script, *start], stdout=output, stderr=output)
        machine = Machine(name, process, said)
        machine.wait()
        return machine


def main(subnet: str, workers: int) -> None:
    """Start the nodes, and do what standard input says. When this process ends, so do they: it is their process 1."""
    Path("/tmp/ray").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="nodes-", ignore_cleanup_errors=True) as folder:
        cluster = Cluster(subnet, Path(folder))
        head = cluster.add_head()
        machines = [cluster.add_worker() for _ in range(workers)]

        def strike() -> None:
            machines.pop(0).die()
            machines.append(cluster.add_worker())

        serve(f"http://{cluster.head}:8265", Path(folder), strike)
        for machine in (*machines, head):
            machine.die()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
