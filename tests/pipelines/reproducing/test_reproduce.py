"""An experiment on a real local Ray: models once, rows for numbers, what is done stays done, a page of it."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from equivdm.findings.trials import Place
from equivdm.study.config import TINY
from pipelines import reproduce
from pipelines.audit import audit
from pipelines.batch import commit, waves
from pipelines.config import ReproduceJob, StudyConfig
from pipelines.reproducing import worker
from pipelines.reproducing.publish import PICTURES, Heading, write_page
from pipelines.reproducing.results import read_ended
from pipelines.reproducing.summary import result_of
from pipelines.settings import StoreConfig
from pipelines.store import open_store
from pipelines.tables import Row

SPEC = TINY.model_copy(update={"step_counts": (1, 2)})


def job_of(folder: Path, experiment: str, **changes: Any) -> ReproduceJob:
    study = StudyConfig(experiment=experiment, seeds=1, spec=SPEC.model_copy(update=changes))
    return ReproduceJob(store=StoreConfig(root=str(folder / "store")), studies=(study,))


def rows_of(job: ReproduceJob) -> list[Row]:
    return open_store(job.store).table("trials").rows()


def pending(job: ReproduceJob) -> list[Row]:
    table, items = reproduce.inputs(job, open_store(job.store))
    return [row for wave in waves(items, table, "before") for row in wave]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, local_ray: None) -> ReproduceJob:
    """An experiment whose base failed, was made by a run that ended early, and then brought to its end."""
    job = job_of(tmp_path_factory.mktemp("reproduce"), "steps")
    store, (base, *_) = open_store(job.store), pending(job)
    table = store.table("trials")
    table.append([{name: base.get(name) for name in table.schema.names} | {"outcome": "failed"}])
    commit([worker.make({**base, "attempt": 2}, store, table, job.work.model)], table)
    summary = reproduce.run(job)
    assert summary.ok
    assert summary.counts["inputs"] == summary.counts["done"] == 4
    assert summary.counts["new"] == 3, "what the earlier run had made is not made again"
    return job


@pytest.mark.ray
def test_models_and_numbers_are_rows(job: ReproduceJob) -> None:
    rows = rows_of(job)
    models = [row for row in rows if row["kind"] == "model" and row["outcome"] == "done"]
    assert [row["run"] for row in models].count("before") == 1
    assert len({row["file"] for row in models}) == len(models) == 3
    numbers = [row for row in rows if row["kind"] == "measurement"]
    assert len({row["key"] for row in numbers}) == 1
    assert {row["x"] for row in numbers} == {None, 1.0, 2.0}
    assert all(row["outcome"] == "done" and row["value"] is not None and row["machine"] for row in numbers)
    assert not audit(job).problems


@pytest.mark.ray
def test_the_same_command_again_does_nothing(job: ReproduceJob) -> None:
    before = rows_of(job)
    assert reproduce.run(job).counts["new"] == 0
    assert rows_of(job) == before


@pytest.mark.ray
def test_a_changed_sampler_measures_again_with_the_same_models(job: ReproduceJob) -> None:
    study = job.studies[0]
    changed = study.model_copy(update={"spec": study.spec.model_copy(update={"step_counts": (2,)})})
    assert reproduce.run(job.model_copy(update={"studies": (changed,)})).counts["new"] == 1


@pytest.mark.ray
def test_the_page_says_what_the_table_says(job: ReproduceJob, tmp_path: Path) -> None:
    store, (study,) = open_store(job.store), job.studies
    page = write_page(job, store, tmp_path / "results.md", Heading("equivdm reproduce")).read_text()
    links = re.findall(r'(?:\]\(|src=")(images/[^)"]+)', page)
    assert {Path(link).suffix for link in links} == {".png", ".mp4"}
    assert all((tmp_path / link).stat().st_size for link in links)
    assert {tmp_path / link for link in links} == set((tmp_path / PICTURES).iterdir())
    result = result_of(study, read_ended(job, store), "")
    place = Place("epe", "warped, no condition", 2.0)
    values = [row["value"] for row in rows_of(job) if (row["metric"], row["variant"], row["x"]) == place]
    assert result.trials.means[place].mean == pytest.approx(sum(values) / len(values))


@pytest.mark.ray
def test_a_measurement_that_fails_is_a_row(tmp_path: Path, local_ray: None) -> None:
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pth")
    job = job_of(tmp_path, "tracked_points", autoencoder=str(tmp_path / "other.pth"))
    summary = reproduce.run(job)
    assert not summary.ok
    assert summary.counts["pending"] == 1
    ((path, error, message),) = summary.failures
    assert (path, error) == ("tracked_points, seed 0", "UsageError")
    assert "wanted TAESD's taef2_encoder.pth" in message
    assert [(row["outcome"], row["attempt"], row["metric"]) for row in rows_of(job)] == [("failed", 1, None)]


def test_nothing_starts_from_a_model_that_failed(tmp_path: Path) -> None:
    job = job_of(tmp_path, "steps")
    store, (base, *_) = open_store(job.store), pending(job)
    failed = {**base, "outcome": "quarantined", "error": "RuntimeError", "message": "it broke"}
    store.table("trials").append([failed])
    assert [len(items.keys) for _, items, _ in reproduce._waves(job, store)] == [1, 0, 0]
