"""All five jobs on a cluster of three nodes: submitted from outside, each loses a worker node, and all end right.

Tables, weights and videos lie on an S3 server. The nodes know its credentials; who submits does not.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import requests
from ray.job_submission import JobSubmissionClient

from pipelines.clips import select_clips
from pipelines.models import newest_model
from pipelines.settings import SelectConfig, StoreConfig
from pipelines.store import open_store
from tests.cluster import namespaces
from tests.cluster.nodes import LOOPBACK, ROOT, TOKEN, Network, Nodes, nodes
from tests.pipelines.videos import write_scene
from tests.s3_server import s3_server

pytestmark = pytest.mark.cluster

VIDEOS, STEPS, UPDATES = 12, 240, 60

BUCKET = "five-jobs"

KEY, SECRET = "the-access-key-of-the-nodes", "the-secret-key-that-the-nodes-alone-know-0123456789"

STORE = StoreConfig(root=f"s3://{BUCKET}/store")

EVERYWHERE = ("fit.parallel.workers=3", "fit.batch=3")
"""A training that has every CPU there is: whatever node is lost, a worker is."""

SETTINGS = {
    "preprocess": ("clip.frames=6", "clip.height=32", "clip.width=32", "store.commit_every_s=0.5"),
    "train": (
        *("start=null", "backbone.width=32", "backbone.depth=1", "data.exclude=[]"),
        *(*EVERYWHERE, f"fit.steps={STEPS}", "fit.checkpoint_every=40", "fit.report_every=20"),
    ),
    "distill": (
        *("start=null", "data.exclude=[]"),
        *(*EVERYWHERE, f"fit.steps={UPDATES}", "fit.checkpoint_every=10", "fit.report_every=5"),
    ),
    "render": ("data.include=['*']", "sampler.steps=16", "store.commit_every_s=0.5"),
    "evaluate": ("renders=[equivdm]", "store.commit_every_s=0.5"),
}

PROGRESS = r"(?<!probe): [1-9]\d* of \d+"
"""Of a line that says how many items, or steps, are done; videos that were looked at are no items yet."""

PATIENCE_S = 600


@pytest.fixture
def network() -> Iterator[Network]:
    with namespaces.network() as given:
        yield given


@pytest.fixture
def cluster(network: Network) -> Iterator[Nodes]:
    """A head and two workers that know the credentials of an S3 server outside."""
    with s3_server(network.outside, KEY, SECRET):
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        with nodes(2, network) as started:
            yield started


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    for number in range(VIDEOS):
        write_scene(tmp_path / f"{number}.mp4", number)
    return tmp_path


def submit_and_strike(cluster: Nodes, verb: str, *more: str) -> str:
    """Submit a job, kill a worker node once the job has got somewhere; return its log when it has ended well."""
    values = (f"store.root={STORE.root}", *SETTINGS[verb], *more)
    settings = [part for value in values for part in ("--set", value)]
    command = [sys.executable, "-m", "jobs.cli", "submit", verb, f"tiny_{verb}", *settings]
    known = {**cluster.environment, "RAY_API_SERVER_ADDRESS": cluster.address}
    laptop = {name: value for name, value in known.items() if not name.startswith("AWS_")}
    with subprocess.Popen(
        command, cwd=ROOT, env=laptop, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as following:
        assert following.stdout
        log = ""
        for line in following.stdout:
            log += line
            if re.search(PROGRESS, line):
                cluster.strike()
                break
        else:
            pytest.fail(f"no node was killed: {log}")
        log += following.communicate(timeout=PATIENCE_S)[0]
    assert following.returncode == 0, log
    return log


@pytest.mark.timeout(3000)
def test_five_jobs_that_lose_a_node_each_end_right(network: Network, cluster: Nodes, videos: Path) -> None:
    assert len(addresses(cluster)) == (1 if network is LOOPBACK else 3)

    logs = submit_and_strike(cluster, "preprocess", f"source.root={videos}")
    store = open_store(STORE)
    clips = select_clips(store, SelectConfig())
    assert sorted(clip["path"] for clip in clips) == sorted(2 * [f"{number}.mp4" for number in range(VIDEOS)])

    logs += submit_and_strike(cluster, "train")
    assert newest_model(store, "equivdm").steps == STEPS

    logs += submit_and_strike(cluster, "distill")
    student = newest_model(store, "student")
    assert (student.steps, student.parent) == (UPDATES, newest_model(store, "equivdm").key)

    for name in ("render", "evaluate"):
        logs += submit_and_strike(cluster, name)
    rendered = store.table("videos").rows()
    assert sorted(row["clip"] for row in rendered) == sorted(clip["key"] for clip in clips)

    hold_no_secret(cluster, logs)


def addresses(cluster: Nodes) -> set[str]:
    """Of the nodes that the head knows."""
    known = {"Authorization": f"Bearer {TOKEN}"}
    answer = requests.get(f"{cluster.address}/nodes?view=summary", headers=known, timeout=60).json()
    return {node["raylet"]["nodeManagerAddress"] for node in answer["data"]["summary"]}


def hold_no_secret(cluster: Nodes, logs: str) -> None:
    """Neither logs nor store nor what the job server says of its jobs has the token, or a key of the store."""
    objects = boto3.resource("s3").Bucket(BUCKET).objects.all()
    client = JobSubmissionClient(cluster.address, headers={"Authorization": f"Bearer {TOKEN}"})
    told = {entry.key: entry.get()["Body"].read() for entry in objects}
    told |= {"logs": logs.encode(), "metadata": repr(client.list_jobs()).encode()}
    logged = [path for path in cluster.logs.rglob("*") if path.is_file() and "logs" in path.parts]
    told |= {str(path): path.read_bytes() for path in logged}
    assert len(told) > 5 * VIDEOS
    secrets = [secret.encode() for secret in (KEY, SECRET, TOKEN)]
    assert [name for name, content in told.items() if any(secret in content for secret in secrets)] == []
