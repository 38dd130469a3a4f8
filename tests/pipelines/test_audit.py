"""The audit of finished work, without Ray: nothing wrong where nothing is, and every damage by its name."""

import shutil
from pathlib import Path

import pytest

from equivdm.errors import EquivdmError
from pipelines import distill, evaluate, train
from pipelines.audit import audit
from pipelines.config import DistillJob, EvaluateJob
from pipelines.settings import StoreConfig
from pipelines.store import Store, open_store
from pipelines.tables import Table
from tests.pipelines.fit_cases import distill_job, fit_config, train_job, write_clips
from tests.pipelines.small_store import METRICS, NAMES, fill
from tests.pipelines.test_models import finish


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished store; nobody writes to it."""
    folder = tmp_path_factory.mktemp("filled")
    fill(folder, clips=1)
    return folder


@pytest.fixture
def job(filled: Path, tmp_path: Path) -> EvaluateJob:
    """The evaluation of a store of one's own."""
    shutil.copytree(filled / "store", tmp_path / "store")
    return EvaluateJob(store=StoreConfig(root=str(tmp_path / "store")), renders=NAMES, metrics=METRICS)


def file_of(job: EvaluateJob) -> tuple[Table, Path]:
    """The metrics' table and one of its data files."""
    table = open_store(job.store).table("metrics")
    return table, Path(table.folder) / table.files()[0].name


def test_a_finished_job_adds_up_and_the_audit_changes_nothing(job: EvaluateJob) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(job.store.root).rglob("*") if path.is_file()}
    for _ in range(2):
        summary = audit(job)
        assert summary.ok
        assert summary.job == "audit evaluate"
        assert summary.counts == {"inputs": 18, "done": 18, "filtered": 0, "quarantined": 0, "pending": 0, "new": 0}
        assert (summary.failures, summary.problems) == ([], [])
    assert {path: path.stat().st_mtime_ns for path in Path(job.store.root).rglob("*") if path.is_file()} == before


def test_a_changed_byte_is_seen_though_the_size_is_right(job: EvaluateJob) -> None:
    _, path = file_of(job)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert audit(job).problems == [f"metrics/{path.name}: its bytes have changed since it was committed"]


def test_a_file_cut_short_is_seen(job: EvaluateJob) -> None:
    table, path = file_of(job)
    path.write_bytes(path.read_bytes()[:-7])
    size = table.files()[0].bytes
    assert audit(job).problems == [f"metrics/{path.name}: got {size - 7} bytes, the log says {size}"]


def test_a_lost_file_is_seen_and_costs_the_others_nothing(job: EvaluateJob) -> None:
    _, path = file_of(job)
    path.unlink()
    summary = audit(job)
    assert not summary.ok
    assert [problem.partition(" (")[0] for problem in summary.problems] == [f"metrics/{path.name}: cannot be read"]
    assert (summary.counts["done"], summary.counts["pending"]) == (12, 6)
    with pytest.raises(
        EquivdmError, match=r"^table metrics: .* cannot be read .*; `equivdm audit` tells what is damaged$"
    ):
        open_store(job.store).table("metrics").states()


def test_what_another_flow_would_measure_is_pending(job: EvaluateJob) -> None:
    other = job.model_copy(update={"flow": job.flow.model_copy(update={"preset": "fast"})})
    summary = audit(other)
    assert (summary.counts["done"], summary.counts["pending"]) == (9, 9)  # half of the metrics need motion
    assert not summary.ok


def test_failures_are_told_with_their_reason(job: EvaluateJob) -> None:
    other = job.model_copy(update={"flow": job.flow.model_copy(update={"preset": "fast"})})
    table, items = evaluate.inputs(other, open_store(job.store))
    first, second, *_ = items.keys.to_pylist()
    for key, outcome in ((first, "failed"), (second, "quarantined")):
        row = {"key": key, "path": "equivdm/a.mp4", "outcome": outcome, "error": "OSError", "message": "gone"}
        table.append([{**row, "attempt": 1}])
    summary = audit(other)
    assert summary.failures == [("equivdm/a.mp4", "OSError", "gone")] * 2
    assert (summary.counts["pending"], summary.counts["quarantined"]) == (8, 1)


@pytest.fixture
def models(tmp_path: Path) -> tuple[Store, DistillJob]:
    """A finished teacher and its student, under the keys that their jobs have."""
    store = open_store(StoreConfig(root=str(tmp_path / "models")))
    write_clips(store, count=2)
    teacher, student = train_job(store.root, fit_config()), distill_job(store.root, fit_config())
    (taught,) = train.inputs(teacher, store)[1].keys.to_pylist()
    finish(store, taught, teacher)
    (key,) = distill.inputs(student, store)[1].keys.to_pylist()
    finish(store, key, student, parent=taught)
    return store, student


def test_a_model_is_whole_with_its_weights(models: tuple[Store, DistillJob]) -> None:
    store, student = models
    assert audit(student).counts["done"] == 1
    assert audit(student).ok
    assert audit(train_job(store.root, fit_config())).ok
    assert not audit(train_job(store.root, fit_config(seed=1))).ok  # another model, which nobody has trained


def test_changed_weights_are_seen(models: tuple[Store, DistillJob]) -> None:
    store, student = models
    for path in (Path(store.root) / "weights").rglob("*.safetensors"):
        path.write_bytes(path.read_bytes() + b"x")
    (problem,) = audit(student).problems
    assert problem.startswith("weights/")
    assert problem.endswith("model.safetensors: its bytes have changed since it was committed")
