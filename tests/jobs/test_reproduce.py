"""The command as a whole: the matrix at tiny size, killed and continued, and its page."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.paper import ORDER, paper_studies
from jobs.specs import load_spec
from pipelines.audit import audit
from pipelines.config import ReproduceJob
from pipelines.reproducing.results import read_ended
from pipelines.store import open_store
from tests.pipelines.disturbed import wait_for

COMMAND = [sys.executable, "-m", "jobs.cli", "reproduce", "--size", "tiny"]


def start(out: Path) -> "subprocess.Popen[str]":
    own = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    argv = [*COMMAND, "--out", str(out)]
    return subprocess.Popen(
        argv, env=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def numbers(out: Path) -> str:
    """All that was measured, without what differs from run to run."""
    job = ReproduceJob.model_validate(
        {"store": {"root": str(out / "store")}, "studies": [each.model_dump() for each in paper_studies(size="tiny")]}
    )
    return json.dumps({key: each.numbers for key, each in sorted(read_ended(job, open_store(job.store)).items())})


@pytest.mark.slow
@pytest.mark.ray
def test_the_whole_matrix_killed_and_continued(tmp_path: Path) -> None:
    """Each claim is of variants that its experiment measures, but for places that the tiny size has not."""
    table = open_store(load_spec("tiny_train", [f"store.root={tmp_path}/killed/store"]).store).table("trials")
    driver = start(tmp_path / "killed")
    wait_for(lambda: len(table.states()) >= 3 or driver.poll() is not None)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    done = len(table.states())
    assert 3 <= done < 20
    for out in ("killed", "whole"):
        driver = start(tmp_path / out)
        said, errors = driver.communicate(timeout=800)
        assert driver.returncode == 0, errors
    assert numbers(tmp_path / "killed") == numbers(tmp_path / "whole")
    job = load_spec(str(tmp_path / "killed" / "reproduce.yaml"))
    assert isinstance(job, ReproduceJob)
    assert audit(job).ok
    page = (tmp_path / "whole" / "results.md").read_text()
    assert [each.experiment for each in job.studies] == list(ORDER)
    assert f"page: {tmp_path}/whole/results.md" in said.replace("\n", "")
    lines = [line for line in page.splitlines() if line.endswith("| **not measured** |")]
    absent = {line for line in lines if line.count(" | ") == 4}  # of comparisons, not of bars
    assert absent
    assert all(re.search(r"at (4|32) sampler steps|at beta = 0\.9|latents of TAEF2", line) for line in absent)
