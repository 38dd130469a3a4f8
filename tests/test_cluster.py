"""The same code as a submitted job: a Ray head of its own, a job server, and `cluster/runtime_env.yaml`."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from pipelines.config import StoreConfig
from pipelines.store import open_store
from tests.pipelines.videos import write_scene

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[1]
RAY = Path(sys.executable).parent / "ray"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def job_server() -> Iterator[str]:
    """Address of the job server of a Ray head with two CPUs, in processes of its own."""
    port, dashboard = free_port(), free_port()
    command = [RAY, "start", "--head", "--block", "--num-cpus=2", "--disable-usage-stats", f"--port={port}"]
    command += ["--node-ip-address=127.0.0.1", f"--dashboard-port={dashboard}", "--object-store-memory=200000000"]
    head = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    address = f"http://127.0.0.1:{dashboard}"
    try:
        for _ in range(120):
            try:
                urlopen(f"{address}/api/version", timeout=2).close()
                break
            except (URLError, TimeoutError):
                time.sleep(0.5)
        yield address
    finally:
        os.killpg(head.pid, signal.SIGTERM)
        head.wait(timeout=60)


def test_preprocess_as_a_submitted_job(job_server: str, tmp_path: Path) -> None:
    write_scene(tmp_path / "videos" / "a.mp4", seed=1)
    entrypoint = [sys.executable, "-m", "jobs.cli", "preprocess", "tiny_preprocess"]
    for setting in (f"source.root={tmp_path}/videos", f"store.root={tmp_path}/store", "clip.frames=6"):
        entrypoint += ["--set", setting]
    command = [RAY, "job", "submit", "--address", job_server, "--runtime-env", "cluster/runtime_env.yaml", "--"]
    done = subprocess.run([*command, *entrypoint], capture_output=True, text=True, cwd=ROOT, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = open_store(StoreConfig(root=str(tmp_path / "store"))).table("clips").rows(["outcome"])
    assert [row["outcome"] for row in rows] == ["done", "done"]
