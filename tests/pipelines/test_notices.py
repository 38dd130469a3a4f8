"""Trainings that are told to end: they save after the step, all workers alike, and go on as if nothing had been."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.config import TrainJob
from pipelines.engines import make_plain
from pipelines.fit import run_folder
from pipelines.loop import Dues, Notice, run
from pipelines.models import find_model
from pipelines.notices import Agreement
from pipelines.session import Session, set_up
from pipelines.settings import StoreConfig
from pipelines.store import open_store
from pipelines.train import run as run_job
from tests.pipelines.fit_cases import fit_config
from tests.pipelines.test_fit import CPU, alone, fit, settings
from tests.pipelines.test_train import prepared
from tests.pipelines.toy import Faults, make_toy

NEVER = 10**6
"""Steps between two checkpoints of which none is written before the end."""


@pytest.mark.usefixtures("group")
def test_flags_are_seen_a_call_later() -> None:
    agreement = Agreement(CPU)
    sent = [[False, True], [True, False], [False, False], [True, True], [False, False]]
    assert [agreement.exchange(flags) for flags in sent] == [[False, False], *sent[:-1]]


def told(notices: dict[int, Notice]) -> tuple[Session, list[int]]:
    """Train the toy with notices after some steps; also returns the steps of the checkpoints."""
    config = settings(1).model_copy(update={"checkpoint_every": NEVER})
    session, saved = set_up(make_toy(Faults(), CPU, 0, 1), config, CPU, make_plain), list[int]()
    run(session, Dues(save=lambda: saved.append(session.step)), lambda: notices.get(session.step, Notice()))
    return session, saved


def test_a_notice_to_save_changes_no_figure() -> None:
    session, saved = told({5: Notice(save=True), 7: Notice(save=True)})
    assert saved == [5, 7, 30]
    assert session.history == alone().history


def test_a_notice_to_stop_saves_what_was_done_and_no_more() -> None:
    session, saved = told({10: Notice(save=True, stop=True)})
    assert (session.step, saved) == (10, [10])
    assert len(session.pending) == 3  # of the steps since the report after seven
    assert not session.local


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(1800)  # three starts of workers
@pytest.mark.usefixtures("local_ray")
def test_sigterm_to_one_worker_ends_all_and_costs_nothing(tmp_path: Path) -> None:
    here, other = (open_store(StoreConfig(root=str(tmp_path / name))) for name in ("here", "other"))
    config = settings(2, zero_stage=3).model_copy(update={"checkpoint_every": NEVER})
    faults = Faults(terminate_at=4, marker=str(tmp_path / "told"), seconds=0.1)
    stopped = fit(here, "toy", config, faults, hidden=8192)
    assert (tmp_path / "told").exists()
    assert stopped.stopped in range(5, 30)
    assert stopped.weights is None
    assert fit(here, "toy", config, hidden=8192) == fit(other, "toy", config, hidden=8192)


def terminate_midway(job: TrainJob, spec: Path) -> subprocess.CompletedProcess[str]:
    """Run the command for a job in a process of its own, and send that SIGTERM when its training has begun."""
    spec.write_text(job.model_dump_json())
    code = "import sys; from jobs.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "train", str(spec)]
    log = spec.with_suffix(".log")
    with log.open("w") as stream:
        driver = subprocess.Popen(command, stderr=stream, text=True, env=os.environ | {"CI": "1"})
        while "loss=" not in log.read_text():
            assert driver.poll() is None, log.read_text()
            time.sleep(0.05)
        driver.send_signal(signal.SIGTERM)
        driver.wait()
    return subprocess.CompletedProcess(command, driver.returncode, stderr=log.read_text())


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(1800)  # three trainings and a start of Ray
@pytest.mark.usefixtures("local_ray")
def test_sigterm_to_the_job_saves_and_costs_nothing(tmp_path: Path) -> None:
    config = fit_config(2, steps=300, report_every=1, checkpoint_every=NEVER)
    job, key = prepared(tmp_path / "here", config)
    store = open_store(job.store)
    ended = terminate_midway(job, tmp_path / "spec.yaml")
    assert ended.returncode == 143, ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("equivdm: interrupted: what was committed is kept")
    assert find_model(store, key) is None
    assert list(Path(run_folder(store, key)).glob("checkpoint_2*"))  # named by the time of the only one
    other, _ = prepared(tmp_path / "other", config)
    resumed, whole = run_job(job).model, run_job(other).model
    assert (resumed.weights, resumed.history) == (whole.weights, whole.history)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(600)  # two starts of workers on a cluster of three nodes
def test_a_machine_that_is_taken_back_costs_no_step_that_it_had_done(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.pipelines.drained", str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=500).stdout
    steps = [int(line) for line in (tmp_path / "diary").read_text().split()]
    again = next(place for place in range(1, len(steps)) if steps[place] <= steps[place - 1])
    assert steps[again] > 0  # from the checkpoint of the notice: there is no other
    assert steps[again:] == list(range(steps[again], 30))
    _, history = json.loads(said.splitlines()[-1])
    plain = alone().history
    assert [tuple(figure[:2]) for figure in history] == [figure[:2] for figure in plain]
    assert [figure[2] for figure in history] == pytest.approx([figure.value for figure in plain], rel=1e-3)
