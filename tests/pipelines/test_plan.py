"""A plan counts what is missing and costs it by what runs before have measured: sums by hand."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.capacity import Machines
from pipelines.config import PreprocessJob
from pipelines.plan import Plan, make_plan, measured
from pipelines.record import RunRecord, StageRecord, read_records, write_record
from pipelines.record.model import Code
from pipelines.settings import CostConfig, PreprocessWork, RayConfig, Resources
from pipelines.status import job_status
from pipelines.store import Store, open_store
from tests.pipelines.fit_cases import fit_config, train_job
from tests.pipelines.hand import clips_of, probe
from tests.pipelines.small_store import fill
from tests.pipelines.videos import preprocess_job, write_scene

STAGES = ("probe", "decode", "motion", "plans", "controls", "texts", "latents")
START = datetime(2026, 11, 23, tzinfo=UTC)


def write_run(store: Store, hour: int, seconds: float, status: str = "finished", job: str = "preprocess") -> str:
    """A record in which each stage worked on 10 items, and each wrote 1 KiB."""
    started = START + timedelta(hours=hour)
    one = {"outcomes": {"done": 10, "skipped": 3}, "seconds": seconds, "bytes_out": 10240}
    record = RunRecord.model_validate(
        {
            "job": job,
            "run": f"{started:%Y%m%dT%H%M%SZ}-0",
            "status": status,
            "started": started,
            "ended": started + timedelta(seconds=100),
            "config": {},
            "code": Code(version="0"),
            "counts": {"new": 10},
            "stages": [StageRecord.model_validate({"name": name, **one}) for name in STAGES],
        }
    )
    write_record(store, record)
    return record.run


def items(plan: Plan) -> dict[str, int]:
    return {stage.name: stage.items for stage in plan.stages}


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> PreprocessJob:
    """One video of two clips and one that is none are done; nothing else was ever looked at."""
    folder = tmp_path_factory.mktemp("plan")
    write_scene(folder / "videos" / "a.mp4", seed=1, frames=12)
    (folder / "videos" / "page.mp4").write_text("<html>404</html>")
    work = PreprocessWork(motion=Resources(cpus=2.0), latents=Resources(cpus=0.5, gpus=1.0, actors=1))
    ray = RayConfig(cost=CostConfig(cpu_hour=0.1, gpu_hour=2.0, currency="EUR"))
    own = preprocess_job(folder / "videos", folder / "store", work=work, ray=ray)
    before = make_plan(own)
    assert (before.unprobed, before.windows_per_video, before.counts["pending"]) == (2, None, 2)
    assert (before.cpu_hours, before.bytes, before.cost, before.measured) == (None, None, None, ())
    assert [path.name for path in (folder / "store").iterdir()] == []  # nothing was written
    clips_of(own)
    return own


def test_a_finished_job_has_nothing_to_do_and_costs_nothing(job: PreprocessJob) -> None:
    plan = make_plan(job)
    assert dict(plan.counts) == {"inputs": 3, "done": 2, "filtered": 0, "quarantined": 1, "pending": 0}
    assert items(plan) == dict.fromkeys(STAGES, 0)
    assert (plan.cpu_hours, plan.bytes, plan.cost, plan.unprobed) == (0, 0, 0, 0)


def test_a_changed_setting_lacks_what_depends_on_it(job: PreprocessJob) -> None:
    other = job.model_copy(update={"flow_divisor": 2})
    plan = make_plan(other)
    assert items(plan) == {"probe": 0, "decode": 2, "motion": 2, "plans": 2, "controls": 0, "texts": 0, "latents": 0}
    assert plan.counts["pending"] == 3  # the video that is none ends anew too, and needs no stage
    assert plan.cpu_hours is None  # nothing was measured


def test_time_bytes_and_cost_are_those_of_the_newest_finished_runs(job: PreprocessJob) -> None:
    store = open_store(job.store)
    write_run(store, 1, 1e6, status="failed")
    write_run(store, 2, 1e6, job="render")
    runs = [write_run(store, hour, 36.0 if hour < 5 else 108.0) for hour in (3, 4, 5, 6)]
    try:
        sums, names = measured(store, "preprocess")
        assert names == tuple(reversed(runs))
        assert (sums["motion"].seconds, sums["motion"].outcomes.total()) == (288.0, 40)
        plan = make_plan(job.model_copy(update={"flow_divisor": 2}))
        # 2 windows of 7.2 s: decode and plans on 1 CPU, motion on 2
        assert plan.cpu_hours == pytest.approx(2 * 7.2 * (1 + 2 + 1) / 3600)
        assert (plan.gpu_hours, plan.bytes, plan.currency) == (0, 3 * 2 * 1024, "EUR")
        assert plan.cost == pytest.approx(0.1 * 2 * 7.2 * 4 / 3600)
        assert plan.capacity is None
        on = make_plan(job.model_copy(update={"flow_divisor": 2}), machines=Machines(4)).capacity
        assert on is not None
        assert on.workers == pytest.approx({"decode": 1.0, "motion": 1.0, "plans": 1.0})
        assert on.hours * 3600 == pytest.approx(2 * 7.2 + 3 * 7.2)  # and the way through three stages
        status = job_status(job)
        assert [run.run for run in status.runs][:2] == [runs[3], runs[2]]
        assert (status.runs[0].new, status.runs[0].items_per_s) == (10, 0.1)
        assert [record.status for record in read_records(store, "preprocess")][-1] == "failed"
    finally:
        store.filesystem.rm(store.path("runs"), recursive=True)


def test_videos_that_nobody_probed_count_at_the_mean_of_the_others(job: PreprocessJob, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_scene(tmp_path / "videos" / f"{name}.mp4", seed=ord(name), frames=12)
    new = preprocess_job(tmp_path / "videos", tmp_path / "store", work=job.work)
    probe(new)
    write_scene(tmp_path / "videos" / "c.mp4", seed=3, frames=12)
    plan = make_plan(new)
    assert (plan.unprobed, plan.windows_per_video) == (1, 2.0)
    stages = {stage.name: (stage.items, stage.expected) for stage in plan.stages}
    assert stages == {"probe": (1, 1), **dict.fromkeys(STAGES[1:], (4, 6.0))}


def test_a_store_without_records_has_none_and_a_file_that_is_none_is_named(job: PreprocessJob, tmp_path: Path) -> None:
    store = open_store(job.store.model_copy(update={"root": str(tmp_path)}))
    assert list(read_records(store, "preprocess")) == []
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "x.json").write_text("{}")
    with pytest.raises(Exception, match=r"runs/x\.json: got a file that is no record of a run; wanted one"):
        list(read_records(store, "preprocess"))


def test_the_other_jobs_count_their_items_or_steps(tmp_path: Path) -> None:
    evaluate = fill(tmp_path, clips=1)
    assert items(make_plan(evaluate)) == {"probe": 0, "evaluate": 0}
    flow = evaluate.flow.model_copy(update={"preset": "fast"})
    assert items(make_plan(evaluate.model_copy(update={"flow": flow}))) == {
        "probe": 0,
        "evaluate": 3 * 3,
    }  # those that need motion
    plan = make_plan(train_job(evaluate.store.root, fit_config()))
    assert items(plan) == {"steps": fit_config().steps}
    assert plan.cpu_hours is None  # a training leaves no record of its stages


def test_failures_and_tables_are_told_with_examples(job: PreprocessJob) -> None:
    status = job_status(job)
    (failed,) = status.failures
    assert (failed.outcome, failed.error, failed.count) == ("quarantined", "NotAVideo", 1)
    assert failed.examples[0].path == "page.mp4"
    assert not status.ok
    tables = {table.name: table for table in status.tables}
    assert set(tables) == {"manifest", "looks", "motion", "plans", "controls", "latents", "texts", "clips"}
    found = list(Path(job.store.root, "motion").glob("*.parquet"))
    assert (tables["motion"].files, tables["motion"].bytes) == (2, sum(path.stat().st_size for path in found))
