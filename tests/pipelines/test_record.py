"""The record of a run: its sums add up, and it is written whatever ends the run."""

import json
import subprocess
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.bars import Stages
from pipelines.config import EvaluateJob, PreprocessJob
from pipelines.preprocess import clip_fingerprint
from pipelines.record import Draft, RunRecord, StageRecord, code, new_run, ray_resources, recording, write_record
from pipelines.record.model import EXAMPLES, Code, Resources, by_class, by_rule
from pipelines.record.page import render_page
from pipelines.settings import CostConfig, RayConfig, SourceConfig, StoreConfig
from pipelines.store import Store, open_store
from pipelines.tally import SKIPPED, Reporter, Sums, start_tally

STARTED = datetime(2026, 11, 23, 1, 12, 4, tzinfo=UTC)
COUNTS = {"inputs": 10, "done": 6, "filtered": 1, "quarantined": 2, "pending": 1, "new": 8}
some = settings(max_examples=60, derandomize=True)


def stage(name: str = "motion", seconds: float = 40.0, **reserves: float) -> StageRecord:
    sums = Sums(Counter({"done": 6, "failed": 2, SKIPPED: 1}), seconds, 3 * 2**30, 2**20)
    return StageRecord.of(name, sums, **reserves)


def record(**changes: Any) -> RunRecord:
    facts = {
        "job": "preprocess",
        "run": "20261123T011204Z-5e0c91ab",
        "status": "finished",
        "started": STARTED,
        "ended": STARTED + timedelta(seconds=100),
        "config": {"job": "preprocess"},
        "code": Code(version="0.1.0"),
        "resources": Resources(cpus=2, nodes=1),
        "counts": COUNTS,
        "stages": (stage("motion"), stage("latents", 30.0)),
        "start_up_s": 10.0,
        "commit_s": 4.0,
        "frames": 128,
    }
    return RunRecord(**facts | changes)


def evaluate_job(**ray: Any) -> EvaluateJob:
    return EvaluateJob(store=StoreConfig(root="s"), renders=("render",), ray=RayConfig(**ray))


def test_time_is_divided_as_it_was_spent() -> None:
    parts = {part.name: part for part in record().time}
    assert {name: part.cpu_seconds for name, part in parts.items()} == {
        "start-up": 20.0,  # both CPUs
        "motion": 40.0,
        "latents": 30.0,
        "commits": 4.0,
        "idle": 106.0,  # of 2 * 100
    }
    assert parts["motion"].share == pytest.approx(0.2)
    assert record().busy == pytest.approx(0.35)


@some
@given(
    st.floats(0, 64),
    st.floats(0, 1e6),
    st.lists(st.tuples(st.floats(0, 1e6), st.floats(0.01, 8)), max_size=9),
    st.floats(0, 1e4),
    st.floats(0, 1e4),
)
def test_parts_of_the_time_add_up_to_all_of_it(
    cpus: float, wall: float, stages: list[tuple[float, float]], start_up: float, commits: float
) -> None:
    run = record(
        resources=Resources(cpus=cpus, nodes=1),
        ended=STARTED + timedelta(seconds=wall),
        stages=tuple(stage("motion", seconds, cpus=each) for seconds, each in stages),
        start_up_s=start_up,
        commit_s=commits,
    )
    if not run.time:
        assert run.busy is None
        return
    assert sum(part.share for part in run.time) == pytest.approx(1)
    spent = sum(part.cpu_seconds for part in run.time)
    assert spent >= cpus * run.wall_s * (1 - 1e-9)
    if any(part.kind == "idle" for part in run.time):
        assert spent == pytest.approx(cpus * run.wall_s)
    assert render_page(run).count("%</td>") == len(run.time)


def test_rates_and_costs_follow_from_the_counts() -> None:
    prices = CostConfig(cpu_hour=0.36, gpu_hour=3.6)
    run = record(resources=Resources(cpus=2, gpus=1, nodes=1), prices=prices, stages=(stage(seconds=50.0, gpus=1),))
    assert (run.items_per_s, run.frames_per_s) == (0.08, 1.28)
    assert run.cost == pytest.approx((2 * 0.36 + 3.6) * 100 / 3600)
    assert run.cost_per_1000 == pytest.approx(run.cost / 8 * 1000)
    assert run.gpu_busy == pytest.approx(0.5)
    assert (run.stages[0].items, run.stages[0].items_per_s) == (8, 0.16)


def test_without_prices_there_is_no_cost() -> None:
    assert (record().cost, record().cost_per_1000, record().gpu_busy) == (None, None, None)
    assert "per 1,000 clips" not in render_page(record())
    assert record(prices=CostConfig(cpu_hour=1), counts=COUNTS | {"new": 0}).cost_per_1000 is None


def test_counts_that_do_not_add_up_are_said_to() -> None:
    assert record().adds_up
    assert "do not add up" not in render_page(record())
    assert "do not add up to the 11 inputs" in render_page(record(counts=COUNTS | {"inputs": 11}))
    assert record(counts={}).adds_up is None


@some
@given(st.lists(st.tuples(st.text(), st.sampled_from(["A", "B", "C"]), st.text())))
def test_every_failure_is_counted_and_few_are_shown(failures: list[tuple[str, str, str]]) -> None:
    classes = by_class(failures)
    assert sum(each.count for each in classes) == len(failures)
    assert [each.count for each in classes] == sorted((each.count for each in classes), reverse=True)
    for each in classes:
        own = [(path, message) for path, error, message in failures if error == each.error]
        assert [(example.path, example.message) for example in each.examples] == own[:EXAMPLES]


def test_rules_are_counted_without_their_figures() -> None:
    rules = ["still", "too_short: 3 frames, wanted 6", "too_short: 5 frames, wanted 6"]
    assert by_rule(rules) == {"too_short": 2, "still": 1}


def test_a_record_survives_json_with_its_computed_figures_in_it() -> None:
    run = record(prices=CostConfig(cpu_hour=1), failures=by_class([("a.mp4", "OSError", "reset")]))
    assert RunRecord.model_validate_json(run.model_dump_json()) == run
    assert json.loads(run.model_dump_json())["time"][1] == {
        "name": "motion",
        "kind": "stage",
        "cpu_seconds": 40.0,
        "share": 0.2,
    }


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden"])
def test_a_run_has_a_name_that_is_safe_as_a_file(name: str) -> None:
    with pytest.raises(ValidationError, match="run"):
        record(run=name)


def stored(store: Store, run: str) -> RunRecord:
    return RunRecord.model_validate_json(store.filesystem.cat_file(store.path("runs", f"{run}.json")))


def test_a_record_is_written_beside_its_page(store: Store) -> None:
    url = write_record(store, record())
    assert url == f"{store.url}/runs/{record().run}.html"
    assert stored(store, record().run) == record()
    assert store.filesystem.cat_file(store.path("runs", f"{record().run}.html")).decode() == render_page(record())


def test_a_finished_run_is_recorded_with_its_settings(store: Store) -> None:
    job = evaluate_job(cost=CostConfig(cpu_hour=0.05))
    with recording(store, Draft("evaluate", job, "r1")) as draft:
        with draft.start_up():
            draft.resources = Resources(cpus=2, nodes=1)
        with draft.commit():
            draft.counts = COUNTS
    run = stored(store, "r1")
    assert draft.page.endswith("/runs/r1.html")
    assert (run.status, run.counts, run.stages, run.prices) == ("finished", COUNTS, (), job.ray.cost)
    assert EvaluateJob.model_validate(run.config) == job
    assert 0 < run.start_up_s < run.wall_s
    assert 0 < run.commit_s < run.wall_s


@pytest.mark.parametrize(
    ("fault", "status", "message"),
    [
        (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt"),
        (SystemExit(3), "interrupted", "SystemExit: 3"),
        (OSError("disk full\nand more"), "failed", "OSError: disk full"),
    ],
)
def test_what_is_known_is_written_before_the_fault_goes_on(
    store: Store, fault: BaseException, status: str, message: str
) -> None:
    def work() -> None:
        with recording(store, Draft("evaluate", evaluate_job(), "r2")) as draft:
            draft.failures = [("a.mp4", "OSError", "reset")]
            raise fault

    with pytest.raises(type(fault)):
        work()
    run = stored(store, "r2")
    assert (run.status, run.message) == (status, message)
    assert run.failures == by_class([("a.mp4", "OSError", "reset")])
    assert (run.counts, run.adds_up, run.time, run.items_per_s) == ({}, None, (), None)
    page = store.filesystem.cat_file(store.path("runs", "r2.html")).decode()
    assert "before its items were added up" in page
    assert "0 CPUs" not in page


def test_a_store_that_fails_hides_no_fault(tmp_path: Path) -> None:
    store = open_store(StoreConfig(root=str(tmp_path / "store")))
    (tmp_path / "store" / "runs").write_text("a file where the folder belongs")

    def work() -> None:
        with recording(store, Draft("evaluate", evaluate_job(), "r3")):
            raise RuntimeError("the first fault")

    with pytest.raises(RuntimeError, match="the first fault") as caught:
        work()
    (note,) = caught.value.__notes__
    assert note.startswith("the record of run r3 could not be written: ")


def test_the_commit_is_that_of_the_checkout() -> None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    git = subprocess.run(command, capture_output=True, text=True, check=False)
    if git.returncode:
        pytest.skip("not a git checkout")
    assert str(code().commit).removesuffix("-dirty") == git.stdout.strip()


def test_prices_are_checked_and_are_no_part_of_a_clips_name() -> None:
    with pytest.raises(ValidationError, match="cpu_hour"):
        CostConfig(cpu_hour=-1)
    with pytest.raises(ValidationError, match="currency"):
        CostConfig(cpu_hour=1, currency="euro")
    prices = [None, CostConfig(cpu_hour=1.0), CostConfig(cpu_hour=2.0, gpu_hour=3.0)]
    jobs = [
        PreprocessJob(store=StoreConfig(root="s"), source=SourceConfig(root="v"), ray=RayConfig(cost=cost))
        for cost in prices
    ]
    assert len({clip_fingerprint(job) for job in jobs}) == 1


def work(row: dict[str, int], reporter: Reporter) -> dict[str, int]:
    """A step of a pipeline."""
    reporter.report("latents", "done", 0.25)
    with reporter.stage("motion", bytes_in=100):
        return row


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_a_job_is_recorded_with_what_its_workers_reported(tmp_path: Path) -> None:
    import ray.data

    store = open_store(StoreConfig(root=str(tmp_path)))
    with recording(store, Draft("evaluate", evaluate_job(), "r4")) as draft:
        draft.resources, reporter = ray_resources(), start_tally("evaluate")
        items = ray.data.from_items([{"item": n} for n in range(6)], override_num_blocks=6)
        with Stages(reporter, "evaluate", 6, {"motion": 6, "latents": 6}) as stages:
            draft.follow(stages, cpus={"motion": 0.5}, gpus={"latents": 1})
            for _ in items.map(work, fn_args=(reporter,), num_cpus=1).iter_rows():
                stages(1)
        draft.counts = COUNTS
    run = stored(store, "r4")
    facts = [(each.name, each.items, each.bytes_in, each.cpus, each.gpus) for each in run.stages]
    assert facts == [("motion", 6, 600, 0.5, 0), ("latents", 6, 0, 1, 1)]
    assert run.resources == Resources(cpus=2, gpus=0, nodes=1)
    assert sum(part.cpu_seconds for part in run.time) == pytest.approx(2 * run.wall_s)


def test_no_two_runs_have_one_name() -> None:
    assert len({new_run() for _ in range(50)}) == 50
