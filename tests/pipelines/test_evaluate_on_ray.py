"""An evaluation of two systems on a real Ray: every video a row, the report, and nothing twice."""

from pathlib import Path

import pytest

from pipelines import evaluate
from pipelines.audit import audit
from pipelines.settings import Resources
from pipelines.store import open_store
from tests.pipelines.systems import evaluate_job, noisy, write, write_driving, write_system

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


def test_two_systems_and_a_broken_file_and_then_nothing_to_do(tmp_path: Path) -> None:
    driving = write_driving(tmp_path / "driving", ("a", "b"))
    write_system(tmp_path / "same", driving, lambda frames: frames)
    write(tmp_path / "noisy" / "a.mkv", noisy(driving["a"], 20))
    (tmp_path / "noisy" / "b.mkv").write_bytes(b"no video")
    job = evaluate_job(tmp_path, "same", "noisy", metrics=("epe", "contrast"))
    summary = evaluate.run(job)
    assert {name: summary.counts[name] for name in ("inputs", "done", "quarantined", "pending", "new")} == {
        "inputs": 3 * 2 + 1,
        "done": 3 * 2,
        "quarantined": 1,
        "pending": 0,
        "new": 3 * 2,
    }
    assert [(path, error) for path, error, _ in summary.failures] == [("noisy/b.mkv", "NotAVideo")]
    assert (summary.means["same"]["epe"].mean, summary.means["same"]["epe"].count) == (0.0, 2)
    assert (summary.differences["noisy"]["epe"].wins, summary.differences["noisy"]["epe"].interval.count) == (0, 1)
    assert Path(summary.report).read_text().count("<video") == 5
    again = evaluate.run(job)
    assert (again.counts["new"], again.counts["done"]) == (0, 3 * 2)
    assert audit(job).counts["done"] == 3 * 2
    files = {file.name for file in open_store(job.store).table("metrics").files()}
    actors = job.work.model_copy(update={"networks": Resources(cpus=0.5, actors=1)})
    more = evaluate.run(job.model_copy(update={"metrics": ("epe", "contrast", "flicker"), "work": actors}))
    assert more.counts["new"] == 3
    assert files < {file.name for file in open_store(job.store).table("metrics").files()}
