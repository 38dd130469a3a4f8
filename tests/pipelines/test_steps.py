"""The steps of the batch jobs as plain functions, called one after another in this process: what Ray only spreads."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equivdm.config import ClipConfig, ControlConfig, FlowConfig, NoiseConfig, PlanConfig, SamplerConfig, TinyConfig
from equivdm.errors import UsageError
from equivdm.metrics import METRICS
from equivdm.noise import MotionPlan
from equivdm.seeds import derive_seed
from equivdm.text import tokenize
from equivdm.video.decode import decode
from pipelines import evaluate, preprocess, render
from pipelines.batch import Row, pending
from pipelines.config import EvaluateJob, PreprocessJob, RenderJob, WorkConfig
from pipelines.manifest import probe_video
from pipelines.schemas import from_tensor
from pipelines.sources import list_videos
from pipelines.store import Store, open_store
from pipelines.tables import Receipt, State, Table
from tests.pipelines.fit_cases import fit_config, train_job
from tests.pipelines.test_models import finish
from tests.pipelines.videos import preprocess_job, write_scene


def items_of(job: PreprocessJob) -> list[Row]:
    """The items of all windows, ready for the first step."""
    windows = []
    for video in list_videos(job.source).to_pylist():
        windows += probe_video({**video, "key": "k"}, job.source, job.clip, job.decode)["windows"]
    return pending(preprocess.clip_items(job, windows), {}, "now")


def committed(table: Table, rows: list[Row]) -> list[Row]:
    """Commit the receipts and return the table's rows of their keys."""
    table.commit([Receipt(**row) for row in rows])
    return table.rows(keys=[row["key"] for row in rows])


def clips_of(job: PreprocessJob) -> list[Row]:
    """Preprocess by hand."""
    clips = open_store(job.store).table("clips")
    encode = preprocess.EncodeClip(job.backbone, clips)
    steps = (preprocess.read_clip, preprocess.estimate_clip_motion)
    rows = items_of(job)
    for step in steps:
        rows = [step(row, job) for row in rows]
    return committed(clips, [encode(row) for row in rows])


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> PreprocessJob:
    folder = tmp_path_factory.mktemp("steps")
    write_scene(folder / "videos" / "a.mp4", seed=1, frames=6)
    write_scene(folder / "videos" / "short.mp4", seed=2, frames=3)
    (folder / "videos" / "page.mp4").write_text("<html>404</html>")
    return preprocess_job(folder / "videos", folder / "store", materialize_noise=True)


@pytest.fixture(scope="module")
def store(job: PreprocessJob) -> Store:
    """With its clips and a model of random weights."""
    clips_of(job)
    store = open_store(job.store)
    finish(store, "m" * 64, train_job(store.root, fit_config(), noise=NoiseConfig(beta=0.5)))
    return store


def test_every_window_ends_with_its_outcome(store: Store) -> None:
    rows = {row["path"]: row for row in store.table("clips").rows()}
    assert {path: row["outcome"] for path, row in rows.items()} == {
        "a.mp4": "done",
        "page.mp4": "quarantined",
        "short.mp4": "filtered",
    }
    assert rows["short.mp4"]["rule"] == "too_short: 3 frames, wanted 6"
    assert rows["page.mp4"]["error"] == "NotAVideo"
    assert rows["a.mp4"]["seconds"] > 0


def test_a_clip_holds_what_its_seed_and_caption_give(store: Store) -> None:
    (row,) = (row for row in store.table("clips").rows() if row["outcome"] == "done")
    plan = MotionPlan.from_bytes(row["plan"])
    assert (plan.grid, plan.frames) == ((16, 16), tuple(range(6)))
    assert from_tensor(row["latents"]).shape == (3, 6, 16, 16)
    assert from_tensor(row["control"]).shape == (6, 32, 32)
    assert row["tokens"] == tokenize(row["caption"])
    drawn = plan.noise(derive_seed(0, "materialized", row["key"]), 3).astype(np.float16)
    np.testing.assert_array_equal(from_tensor(row["noise"]), drawn)


def test_the_same_steps_again_make_the_same_bytes(job: PreprocessJob, store: Store, tmp_path: Path) -> None:
    again = clips_of(job.model_copy(update={"store": job.store.model_copy(update={"root": str(tmp_path)})}))
    columns = ("key", "outcome", "forward", "occluded_backward", "latents", "plan", "noise", "control")
    for old, new in zip(store.table("clips").rows(), again, strict=True):
        assert [old[name] for name in columns] == [new[name] for name in columns]


CHANGES: dict[str, tuple[dict[str, Any], bool]] = {
    "size": ({"clip": ClipConfig(frames=6, height=48, width=32)}, True),
    "flow": ({"flow": FlowConfig(preset="fast")}, True),
    "plan": ({"plan": PlanConfig(per_cell=2)}, True),
    "control": ({"control": ControlConfig(kind="grey")}, True),
    "noise": ({"materialize_noise": False}, True),
    "network": ({"backbone": TinyConfig(width=32, depth=1)}, False),
    "work": ({"work": WorkConfig(actors=3, max_attempts=9)}, False),
    "windows": ({"clip": ClipConfig(frames=6, height=32, width=32, stride=2, max_windows=5)}, False),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_can_change_a_clip_changes_its_fingerprint_and_nothing_else_does(job: PreprocessJob, name: str) -> None:
    change, other = CHANGES[name]
    prints = [preprocess.clip_fingerprint(each) for each in (job, job.model_copy(update=change))]
    assert (prints[0] != prints[1]) == other


def test_a_copy_of_a_video_is_the_same_item_and_another_caption_is_not(job: PreprocessJob) -> None:
    window = {"video": "v", "source": "/a", "path": "a", "window": 0, "indices": [0, 1], "fps": 25.0}
    window |= {"source_frames": 2, "caption": "a disc"}
    others = [{"path": "b", "source": "/b"}, {"caption": "a box"}, {"indices": [1, 2]}, {"video": "w"}]
    keys = [item["key"] for item in preprocess.clip_items(job, [window, *(window | other for other in others)])]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4


def test_a_size_is_checked_before_the_first_video(job: PreprocessJob) -> None:
    preprocess.check_size(job)
    odd = job.model_copy(update={"clip": ClipConfig(frames=6, height=33, width=32)})
    with pytest.raises(
        UsageError, match=r"^clip: got a video of 33x32 pixels, wanted multiples of 2: change the size$"
    ):
        preprocess.check_size(odd)


def rendered(store: Store, **changes: object) -> tuple[RenderJob, list[Row]]:
    """Render by hand."""
    job = RenderJob.model_validate({"store": {"root": store.root}, "sampler": {"steps": 2}} | changes)
    videos, items = render.inputs(job, store)
    actor = render.RenderClip(store, job, videos)
    return job, committed(videos, [actor(item) for item in pending(items, {}, "now")])


def pixels(store: Store, row: Row) -> np.ndarray:
    with store.local_copy(row["file"]) as local:
        return decode(local, range(row["frames"]), None)


def test_a_video_has_the_clips_rate_length_and_size_and_its_file_the_hash_of_the_row(store: Store) -> None:
    _, (row,) = rendered(store, name="one")
    assert (row["outcome"], row["fps"], row["frames"], row["steps"]) == ("done", 25.0, 6, 2)
    assert pixels(store, row).shape == (6, 32, 32, 3)
    assert row["file"] == f"renders/one/{row['key']}.mp4"
    assert len(store.filesystem.cat_file(store.path(row["file"]))) == row["bytes"]


def test_a_set_by_another_name_has_the_same_videos_and_another_seed_has_others(store: Store) -> None:
    rows = [rendered(store, name=name, seed=seed)[1][0] for name, seed in (("first", 0), ("again", 0), ("other", 1))]
    assert rows[0]["sha256"] == rows[1]["sha256"] != rows[2]["sha256"]
    assert len({row["key"] for row in rows}) == 3


def test_a_job_renders_with_the_models_noise_and_sampler_unless_it_has_its_own(store: Store) -> None:
    plain, _ = rendered(store, name="plain")
    model = render.newest_model(store, "equivdm")
    assert render.settings(plain, model) == (NoiseConfig(beta=0.5), SamplerConfig(steps=2))
    own = plain.model_copy(update={"noise": NoiseConfig(kind="independent"), "sampler": None})
    student = replace(model, sampler=SamplerConfig(steps=1))
    assert render.settings(own, student) == (NoiseConfig(kind="independent"), SamplerConfig(steps=1))
    prints = {render.render_fingerprint(each, model) for each in (plain, own)}
    assert len(prints | {render.render_fingerprint(own, student)}) == 3


def test_a_video_that_is_measured_has_a_row_for_every_metric_and_a_lost_one_says_why(store: Store) -> None:
    _, (good,) = rendered(store, name="good")
    _, (lost,) = rendered(store, name="lost")
    store.filesystem.rm_file(store.path(lost["file"]))
    job = EvaluateJob.model_validate({"store": {"root": store.root}, "renders": ("good", "lost"), "bootstrap": 100})
    metrics, items = evaluate.inputs(job, store)
    rows = committed(metrics, [evaluate.measure_video(item, store, job, metrics) for item in pending(items, {}, "now")])
    found = {row["metric"]: row["value"] for row in rows if row["name"] == "good"}
    assert set(found) == set(METRICS)
    (failed,) = (row for row in rows if row["name"] == "lost")
    assert (failed["outcome"], failed["error"], failed["metric"]) == ("failed", "FileNotFoundError", None)
    means = evaluate.means(job, store)
    assert {name: interval.mean for name, interval in means["good"].items()} == pytest.approx(found)
    assert means["lost"] == {}
    assert metrics.states()[failed["key"]] == State("failed", 1)
    assert good["clip"] == lost["clip"]
