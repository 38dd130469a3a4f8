"""Time by the clock is of runs of the same experiments, and none is told where it is not known."""

from pathlib import Path

import pytest

from equivdm.study.config import TINY
from pipelines.config import ReproduceJob, StudyConfig
from pipelines.record import Draft, read_records, recording
from pipelines.reproducing.results import wall_seconds
from pipelines.settings import StoreConfig
from pipelines.store import open_store


def job_of(folder: Path, *experiments: str, steps: int = 2, autoencoder: str | None = None) -> ReproduceJob:
    spec = TINY.model_copy(update={"base_steps": steps, "autoencoder": autoencoder})
    studies = tuple(StudyConfig(experiment=name, seeds=1, spec=spec) for name in experiments)
    return ReproduceJob(store=StoreConfig(root=str(folder)), studies=studies)


def ran(job: ReproduceJob, run: str, new: int = 1) -> float:
    """Record a run, and return its time."""
    store = open_store(job.store)
    with recording(store, Draft("reproduce", job, run)) as draft:
        draft.counts = {"new": new}
    return next(record.wall_s for record in read_records(store, "reproduce") if record.run == run)


def test_runs_of_other_sizes_do_not_count(tmp_path: Path) -> None:
    page = job_of(tmp_path, "steps", "v2v")
    store = open_store(page.store)
    assert wall_seconds(page, store) is None
    ran(job_of(tmp_path, "steps", "v2v", steps=9), "r1")
    ran(page, "r2", new=0)
    assert wall_seconds(page, store) is None
    own = ran(page, "r3")
    part = ran(job_of(tmp_path, "v2v"), "r4")
    assert wall_seconds(page, store) == pytest.approx(own + part)


def test_a_run_of_more_than_the_page_has_leaves_the_time_unknown(tmp_path: Path) -> None:
    page = job_of(tmp_path, "steps", autoencoder="here/weights")
    ran(job_of(tmp_path, "steps", autoencoder="elsewhere/weights"), "r1")
    assert wall_seconds(page, open_store(page.store)) is not None
    ran(job_of(tmp_path, "steps", "v2v"), "r2")
    assert wall_seconds(page, open_store(page.store)) is None
