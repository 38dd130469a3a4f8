"""`equivdm submit` against a real job server with a token."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pipelines.clips import select_clips
from pipelines.settings import SelectConfig, StoreConfig
from pipelines.store import open_store
from tests.cluster.nodes import ROOT, Nodes, nodes
from tests.pipelines.videos import write_scene

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def head() -> Iterator[Nodes]:
    """A head alone: these jobs are small."""
    with nodes(0) as started:
        yield started


@pytest.fixture
def settings(tmp_path: Path) -> list[str]:
    """Of a preprocess job on one video."""
    write_scene(tmp_path / "videos" / "a.mp4", 1)
    values = (f"store.root={tmp_path / 'store'}", f"source.root={tmp_path / 'videos'}", "clip.frames=6")
    return [part for value in (*values, "clip.height=32", "clip.width=32") for part in ("--set", value)]


@contextmanager
def following(head: Nodes, *command: str) -> Iterator[subprocess.Popen[str]]:
    """Run a verb and see what it says while it runs."""
    known = {**head.environment, "RAY_API_SERVER_ADDRESS": head.address}
    program = [sys.executable, "-m", "jobs.cli", *command]
    with subprocess.Popen(
        program, cwd=ROOT, env=known, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        yield process


def job_of(said: subprocess.CompletedProcess[str]) -> str:
    found = re.match(r"(\S+): ", said.stderr)
    assert found, said.stderr
    return found[1]


def test_a_job_runs_its_log_comes_back_and_the_same_command_is_another_attempt(
    head: Nodes, settings: list[str]
) -> None:
    first = head.equivdm("submit", "preprocess", "tiny_preprocess", *settings)
    assert first.returncode == 0, first.stdout + first.stderr
    assert re.search(r"(\d+) inputs = \1 done .* \1 new", first.stdout)
    again = head.equivdm("submit", "preprocess", "tiny_preprocess", *settings)
    assert again.returncode == 0
    assert "; 0 new" in again.stdout
    assert (job_of(first)[-2:], job_of(again)[-2:]) == ("-1", "-2")
    assert job_of(first)[:-2] == job_of(again)[:-2]
    listed = head.equivdm("jobs").stdout
    assert re.search(rf"{job_of(again)} +succeeded", listed)
    assert head.equivdm("logs", job_of(first)).stdout.endswith(first.stdout[-200:])


def test_a_run_whose_driver_was_killed_half_way_is_finished_by_the_next(head: Nodes, settings: list[str]) -> None:
    videos = Path(settings[3].partition("=")[2])
    for seed in range(2, 9):
        write_scene(videos / f"{seed}.mp4", seed)
    settings += ["--set", "store.commit_every_s=0.1"]
    store = open_store(StoreConfig(root=settings[1].partition("=")[2]))
    with following(head, "submit", "preprocess", "tiny_preprocess", *settings) as first:
        while not store.table("clips").states():
            assert first.poll() is None, first.communicate()
            time.sleep(0.05)
        for process in psutil.Process(head.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # others come and go
                if "env:EQUIVDM_SPEC" in process.cmdline():
                    process.kill()
        assert first.communicate(timeout=60)
        assert first.returncode == 128 + signal.SIGKILL
    again = head.equivdm("submit", "preprocess", "tiny_preprocess", *settings)
    assert again.returncode == 0, again.stdout + again.stderr
    counts = re.search(r"16 inputs = 16 done .* (\d+) new", again.stdout)
    assert counts
    assert int(counts[1]) < 16
    clips = select_clips(store, SelectConfig())
    assert len({clip["key"] for clip in clips}) == len(clips) == 16


def test_a_job_that_fails_has_its_own_exit_code_and_says_why(head: Nodes, settings: list[str]) -> None:
    failed = head.equivdm("submit", "preprocess", "tiny_preprocess", *settings, "--set", "source.root=/nowhere/at/all")
    assert failed.returncode == 2
    assert "/nowhere/at/all" in failed.stdout
    assert failed.stderr.rstrip().endswith("failed, exit code 2")


def test_ctrl_c_leaves_a_job_the_same_command_follows_it_and_stop_ends_it(head: Nodes, settings: list[str]) -> None:
    assert head.equivdm("submit", "preprocess", "tiny_preprocess", *settings).returncode == 0
    long = [
        "submit",
        "train",
        "tiny_train",
        *settings[:2],
        "--set",
        "fit.steps=100000",
        "--set",
        "fit.parallel.workers=1",
    ]
    long += [
        "--set",
        "data.exclude=[]",
        "--set",
        "start=null",
        "--set",
        "backbone.width=32",
        "--set",
        "backbone.depth=1",
    ]
    with following(head, *long) as watched:
        assert watched.stdout
        assert next(line for line in watched.stdout if re.search(r": [1-9]\d* of 100000", line))
        watched.send_signal(signal.SIGINT)
        said = watched.communicate(timeout=60)[1]
        assert watched.returncode == 130
    job = said.split(":")[0]
    assert f"{job} goes on: `equivdm logs -f {job}` follows it again" in said
    detached = head.equivdm(*long, "--detach")
    assert (detached.returncode, detached.stderr.split(" at ")[0]) == (0, f"{job}: runs already")
    assert "told to end" in head.equivdm("stop", job).stdout
    followed = head.equivdm("logs", "-f", job)
    assert followed.returncode == 1
    assert followed.stderr.rstrip().endswith("stopped")
    assert list(Path(settings[1].partition("=")[2], "runs").glob("*/checkpoint_*")), "nothing was saved"
    assert "has ended already" in head.equivdm("stop", job).stdout


def test_a_wrong_token_and_a_wrong_address_are_one_line(head: Nodes) -> None:
    stranger = replace(head, environment={**head.environment, "RAY_AUTH_TOKEN": "another-one-0123456789abcdef"})
    refused = stranger.equivdm("jobs")
    assert refused.returncode == 2
    assert "the token was refused" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    nowhere = replace(head, address="http://127.0.0.1:9").equivdm("jobs")
    assert nowhere.returncode == 1
    assert len(nowhere.stderr.splitlines()) == 1


def test_a_job_that_is_not_there_is_named(head: Nodes) -> None:
    for verb in ("logs", "stop"):
        refused = head.equivdm(verb, "train-nobody-1")
        assert (refused.returncode, "got no job 'train-nobody-1'" in refused.stderr) == (2, True)
