"""Render and evaluate on a real local Ray: one right file a clip, honest failures, sums that add up."""

from pathlib import Path

import numpy as np
import pytest

from equivdm.config import NoiseConfig, SamplerConfig, VideoCrafter2Config
from equivdm.errors import UsageError
from equivdm.metrics import OF_MOTION, Case, measure
from equivdm.video.decode import decode
from pipelines import evaluate, preprocess, render
from pipelines.audit import audit
from pipelines.clips import MOTION_COLUMNS, motion_of, read_clips
from pipelines.config import EvaluateJob, RenderJob
from pipelines.settings import Resources, SelectConfig
from pipelines.store import Store, open_store
from tests.pipelines.film_cases import film_job, with_model, write_films
from tests.pipelines.random_models import add_model
from tests.pipelines.videos import preprocess_job, write_scene

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> RenderJob:
    """Four clips of two videos and a random model, rendered once with two steps."""
    folder = tmp_path_factory.mktemp("render")
    for seed in (1, 2):
        write_scene(folder / "videos" / f"{seed}.mp4", seed)
    clips = preprocess_job(folder / "videos", folder / "store")
    preprocess.run(clips)
    store = open_store(clips.store)
    add_model(store, "equivdm", seed=0)
    job = RenderJob(store=clips.store, ray=clips.ray, name="two", sampler=SamplerConfig(steps=2))
    summary = render.run(job)
    assert summary.ok
    assert summary.counts["done"] == summary.counts["new"] == 4
    return job


def rows_of(job: RenderJob, name: str) -> list[dict]:
    rows = open_store(job.store).table("videos").rows()
    return [row for row in rows if row["name"] == name]


def pixels(job: RenderJob, row: dict) -> np.ndarray:
    with open_store(job.store).local_copy(row["file"]) as local:
        return decode(local, range(row["frames"]), None)


def test_each_clip_has_a_video_of_its_rate_and_size(job: RenderJob) -> None:
    rows = rows_of(job, "two")
    assert len({row["clip"] for row in rows}) == len(rows) == 4
    for row in rows:
        assert (row["outcome"], row["fps"], row["frames"], row["steps"]) == ("done", 25.0, 6, 2)
        assert pixels(job, row).shape == (6, 32, 32, 3)


def test_the_same_run_again_renders_nothing(job: RenderJob) -> None:
    assert render.run(job).counts["new"] == 0


def test_a_video_is_a_pure_function_of_clip_model_and_settings(job: RenderJob) -> None:
    """The files of a set under another name, rendered by other actors and beside fewer others, are the same bytes."""
    again = job.model_copy(update={"name": "again", "data": SelectConfig(limit=3)})
    render.run(again)
    first = {row["clip"]: row["sha256"] for row in rows_of(job, "two")}
    assert len(rows_of(job, "again")) == 3
    assert all(row["sha256"] == first[row["clip"]] for row in rows_of(job, "again"))


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"noise": NoiseConfig(kind="independent")},
        {"sampler": SamplerConfig(steps=3)},
        {"sampler": SamplerConfig(steps=2, shift=3)},
        {"sampler": SamplerConfig(steps=2, guidance=2)},
        {"use_control": False},
    ],
)
def test_what_changes_a_video_changes_its_key(job: RenderJob, change: dict) -> None:
    store = open_store(job.store)
    _, before = render.inputs(job, store)
    _, after = render.inputs(job.model_copy(update=change), store)
    assert not set(before.keys.to_pylist()) & set(after.keys.to_pylist())


def models_of(job: RenderJob, store: Store) -> list[str]:
    """The models of a job's items."""
    return [model for part in render.inputs(job, store)[1].batches() for model in part["model"].to_pylist()]


def test_spread_and_retries_change_no_key(job: RenderJob) -> None:
    store = open_store(job.store)
    work = job.work.model_copy(update={"model": Resources(actors=3), "max_attempts": 9})
    spread = job.model_copy(update={"work": work})
    assert render.inputs(job, store)[1].keys == render.inputs(spread, store)[1].keys


def test_an_audit_sees_a_video_that_changed_or_went(job: RenderJob) -> None:
    again = job.model_copy(update={"name": "victims"})
    render.run(again)
    assert audit(again).ok
    first, second, *_ = rows_of(job, "victims")
    store = open_store(job.store)
    Path(store.path(first["file"])).write_bytes(b"not the video")
    Path(store.path(second["file"])).unlink()
    problems = audit(again).problems
    assert sorted(problem.partition(" (")[0] for problem in problems) == sorted(
        [f"{first['file']}: its bytes have changed since it was committed", f"{second['file']}: cannot be read"]
    )


def test_metrics_are_those_of_the_file(job: RenderJob) -> None:
    plain = EvaluateJob(store=job.store, ray=job.ray, renders=("two",), metrics=OF_MOTION)
    evaluation = evaluate.run(plain)
    assert evaluation.counts["done"] == evaluation.counts["new"] == 4 * len(OF_MOTION)
    row = rows_of(job, "two")[0]
    store = open_store(job.store)
    (clip,) = read_clips(store, [row["clip"]], MOTION_COLUMNS)
    expected = measure(Case(pixels(job, row), motion_of(clip)), OF_MOTION)
    found = [r for r in store.table("metrics").rows() if r["video"] == row["key"]]
    assert {r["metric"]: r["value"] for r in found} == pytest.approx(expected)
    assert set(evaluation.means["two"]) == set(OF_MOTION)
    assert all(
        interval.count == 4 and interval.low <= interval.mean <= interval.high
        for interval in evaluation.means["two"].values()
    )
    assert evaluate.run(plain).counts["new"] == 0


def test_the_way_from_noise_to_video_is_measured_while_it_is_taken(job: RenderJob) -> None:
    render.run(job.model_copy(update={"name": "one-step", "sampler": SamplerConfig(steps=1)}))
    metrics = ("straightness", "noise_to_video_distance")
    found = evaluate.run(EvaluateJob(store=job.store, ray=job.ray, renders=("two", "one-step"), metrics=metrics))
    for row in rows_of(job, "two"):
        measured = {each["metric"]: each["value"] for each in row["metrics"]}
        assert 0 < measured["straightness"] < measured["noise_to_video_distance"] < 2
    assert {name: set(means) for name, means in found.means.items()} == {"two": set(metrics), "one-step": {metrics[1]}}
    means = [each["value"] for row in rows_of(job, "two") for each in row["metrics"] if each["metric"] == metrics[0]]
    assert found.means["two"]["straightness"].mean == pytest.approx(np.mean(means))


def test_a_lost_video_is_a_failed_row_and_costs_only_itself(job: RenderJob) -> None:
    broken = job.model_copy(update={"name": "broken"})
    render.run(broken)
    row = rows_of(job, "broken")[0]
    Path(open_store(job.store).path(row["file"])).write_bytes(b"no video")
    metrics = ("psnr", "ssim")  # other tests have measured the rest: of the same bytes, under another name
    summary = evaluate.run(EvaluateJob(store=job.store, ray=job.ray, renders=("broken",), metrics=metrics))
    assert (summary.counts["done"], summary.counts["quarantined"]) == (3 * 2, 1 * 2)
    assert [(path, error) for path, error, _ in summary.failures] == [(f"broken/{row['path']}", "DamagedVideo")]


def test_guidance_changes_videos_and_a_solver_that_does_not_go_with_the_model_is_refused(job: RenderJob) -> None:
    one = job.model_copy(update={"name": "guided", "data": SelectConfig(limit=1)})
    guided = one.model_copy(update={"sampler": SamplerConfig(steps=2, guidance=3)})
    render.run(guided)
    (row,) = rows_of(job, "guided")
    (plain,) = (each for each in rows_of(job, "two") if each["clip"] == row["clip"])
    assert row["sha256"] != plain["sha256"]

    add_model(open_store(job.store), "levels", 3, backbone=VideoCrafter2Config(weights="gone", tokenizer="gone"))
    wrong = job.model_copy(update={"model": "levels", "sampler": SamplerConfig(shift=3)})
    with pytest.raises(UsageError, match=r"sampler.shift: got 3.0 for VideoCrafter2Process, wanted 1"):
        render.run(wrong)


def test_the_newest_model_of_a_name_renders(job: RenderJob) -> None:
    store = open_store(job.store)
    add_model(store, "two-models", seed=1)
    newer = job.model_copy(update={"model": "two-models", "data": SelectConfig(limit=1)})
    (before,) = models_of(newer, store)
    add_model(store, "two-models", seed=2)
    (after,) = models_of(newer, store)
    assert before != after


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "nobody"}, "model: got 'nobody', but .* holds equivdm"),
        (
            {"data": SelectConfig(include=("*.nothing",))},
            r"data: got include=\['\*.nothing'\] .* selects none of 4 finished clips",
        ),
    ],
)
def test_what_cannot_work_is_refused(job: RenderJob, change: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        render.run(job.model_copy(update=change))


def test_an_unknown_set_of_videos_is_refused(job: RenderJob) -> None:
    with pytest.raises(UsageError, match="renders: got 'nobody', wanted one of"):
        evaluate.run(EvaluateJob(store=job.store, renders=("nobody",)))


def test_driving_videos_of_any_length_and_a_broken_one(tmp_path: Path) -> None:
    """Short, long and broken, on Ray: what tests of single steps show elsewhere, all together."""
    write_films(tmp_path / "videos", {"short": 7, "long": 18})
    films = with_model(film_job(tmp_path / "videos", tmp_path / "store"))
    summary = render.run(films)
    assert {name: summary.counts[name] for name in ("inputs", "done", "quarantined", "new")} == {
        "inputs": 3,
        "done": 2,
        "quarantined": 1,
        "new": 2,
    }
    assert [(path, error) for path, error, _ in summary.failures] == [("broken.mp4", "NotAVideo")]
    rows = {row["path"]: row for row in rows_of(films, "render")}
    assert {path: (row["frames"], row["windows"]) for path, row in rows.items() if row["file"]} == {
        "short.mp4": (7, 1),
        "long.mp4": (18, 3),
    }
    assert render.run(films).counts["new"] == 0
