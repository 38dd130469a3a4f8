"""The steps of the batch jobs as plain functions, called one after another in this process: what Ray only spreads."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equivdm.config import (
    ClipConfig,
    ControlConfig,
    FlowConfig,
    NoiseConfig,
    OcclusionConfig,
    PlanConfig,
    SamplerConfig,
    TinyConfig,
)
from equivdm.errors import UsageError
from equivdm.metrics import OF_MOTION
from equivdm.noise import MotionPlan
from equivdm.seeds import derive_seed
from equivdm.text import tokenize
from equivdm.video.decode import decode
from equivdm.video.write import write_video
from pipelines import preprocess, render
from pipelines.batch import Items, waves
from pipelines.clips import read_clips
from pipelines.config import EvaluateJob, PreprocessJob, RenderJob
from pipelines.evaluation.scores import read_scores
from pipelines.models import newest_model
from pipelines.rendering.clips import RenderClip, clip_fingerprint
from pipelines.rendering.identity import settings_of
from pipelines.schemas import STAGES, from_tensor
from pipelines.settings import FiltersConfig, PreprocessWork, Resources, StoreConfig
from pipelines.states import State
from pipelines.store import Store, open_store
from pipelines.tables import Row, Table
from tests.pipelines.fit_cases import fit_config, train_job
from tests.pipelines.hand import clips_of, committed
from tests.pipelines.systems import evaluated
from tests.pipelines.test_models import finish
from tests.pipelines.videos import preprocess_job, write_scene


def ready(items: Items, table: Table) -> list[Row]:
    """The pending items of another job."""
    return [row for wave in waves(items, table, "now") for row in wave]


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
    assert (rows["short.mp4"]["rule"], rows["short.mp4"]["message"]) == ("too_short", "3 frames, wanted 6")
    assert rows["page.mp4"]["error"] == "NotAVideo"
    assert rows["a.mp4"]["seconds"] > 0


COLUMNS = ("forward", "backward", "occluded_backward", "plan", "control", "latents", "noise", "frozen", "fast_speed")


def finished(store: Store) -> Row:
    """The one finished clip, with the columns of its stages."""
    (key,) = (row["key"] for row in store.table("clips").rows() if row["outcome"] == "done")
    (row,) = read_clips(store, [key], ("key", "text", "empty", "caption", *COLUMNS))
    return row


def test_a_clip_holds_what_its_seed_and_caption_give(store: Store) -> None:
    row = finished(store)
    plan = MotionPlan.from_bytes(row["plan"])
    assert (plan.grid, plan.frames) == ((16, 16), tuple(range(6)))
    assert from_tensor(row["latents"]).shape == (3, 6, 16, 16)
    assert from_tensor(row["control"]).shape == (6, 32, 32)
    assert from_tensor(row["text"]).tolist() == tokenize(row["caption"])
    assert not from_tensor(row["empty"]).any()
    (key,) = store.table("noises").states()
    drawn = plan.noise(derive_seed(0, "materialized", key), 3).astype(np.float16)
    np.testing.assert_array_equal(from_tensor(row["noise"]), drawn)


def test_the_same_steps_again_make_the_same_bytes(job: PreprocessJob, store: Store, tmp_path: Path) -> None:
    again = job.model_copy(update={"store": StoreConfig(root=str(tmp_path))})
    clips_of(again)
    assert finished(open_store(again.store)) == finished(store)


def copied(job: PreprocessJob, to: Path, **changes: Any) -> PreprocessJob:
    """The same job with other settings, on a copy of its finished store."""
    shutil.copytree(job.store.root, to)
    return job.model_copy(update={"store": StoreConfig(root=str(to)), **changes})


OF_CONTENT = {*STAGES} - {"texts", "hints", "blanks"}

COMPUTED: dict[str, tuple[dict[str, Any], set[str]]] = {
    "size": ({"clip": ClipConfig(frames=6, height=48, width=32)}, OF_CONTENT),
    "length": ({"clip": ClipConfig(frames=5, height=32, width=32)}, OF_CONTENT),
    "flow": ({"flow": FlowConfig(preset="fast")}, {"motion", "plans", "noises"}),
    "resolution": ({"flow_divisor": 2}, {"motion", "plans", "noises"}),
    "plan": ({"plan": PlanConfig(per_cell=2)}, {"plans", "noises"}),
    "occlusion": ({"flow": FlowConfig(occlusion=OcclusionConfig(absolute=9.0))}, {"plans", "noises"}),
    "control": ({"control": ControlConfig(kind="grey")}, {"controls"}),
    "threshold": ({"filters": FiltersConfig(max_frozen=0.95)}, set()),
    "no noise": ({"materialize_noise": False}, set()),
}
"""What a changed setting computes again; all else is found."""


@pytest.mark.parametrize("name", COMPUTED)
def test_a_changed_setting_computes_what_depends_on_it_and_nothing_else(
    job: PreprocessJob, store: Store, tmp_path: Path, name: str
) -> None:
    changes, computed = COMPUTED[name]
    other = copied(job, tmp_path / "store", **changes)
    after = open_store(other.store)
    before = {stage: set(after.table(stage).states()) for stage in STAGES}
    clips_of(other)
    new = {stage for stage in STAGES if set(after.table(stage).states()) - before[stage]}
    assert new == computed
    assert preprocess.clip_fingerprint(other) != preprocess.clip_fingerprint(job)
    assert [row["outcome"] for row in after.table("clips").rows()].count("done") == 2


def test_what_is_found_gives_the_same_bytes_as_what_is_computed(
    job: PreprocessJob, store: Store, tmp_path: Path
) -> None:
    """A plan from stored flow, beside one from flow of this very run."""
    change = {"plan": PlanConfig(per_cell=2)}
    found, whole = copied(job, tmp_path / "found", **change), job.model_copy(update=change)
    clips_of(found)
    whole = whole.model_copy(update={"store": StoreConfig(root=str(tmp_path / "whole"))})
    clips_of(whole)
    plans = [read_clips(open_store(each.store), [key_of(each)], ("plan", "noise")) for each in (found, whole)]
    assert plans[0] == plans[1]


def key_of(job: PreprocessJob) -> str:
    rows = open_store(job.store).table("clips").rows()
    own = preprocess.clip_fingerprint(job)
    (key,) = (row["key"] for row in rows if row["outcome"] == "done" and row["fingerprint"] == own)
    return key


FILTERED: dict[str, tuple[dict[str, float], str]] = {
    "black": ({"max_black": 0.0, "min_contrast": 255.0}, "flat"),
    "static": ({"max_frozen": 0.0, "max_speed": 1e-6}, "too_much_motion"),
    "motion": ({"max_speed": 1e-6}, "too_much_motion"),
    "confidence": ({"max_disagreement": 0.0}, "low_flow_confidence"),
}


@pytest.mark.parametrize("name", FILTERED)
def test_a_threshold_filters_by_what_is_stored(job: PreprocessJob, store: Store, tmp_path: Path, name: str) -> None:
    thresholds, rule = FILTERED[name]
    other = copied(job, tmp_path / "store", filters=FiltersConfig.model_validate(thresholds))
    shutil.rmtree(tmp_path / "store" / "latents")  # neither read nor made again for what is left out
    rows = {row["path"]: row for row in clips_of(other)}
    assert (rows["a.mp4"]["outcome"], rows["a.mp4"]["rule"]) == ("filtered", rule)
    assert "wanted at" in rows["a.mp4"]["message"]
    assert rows["a.mp4"]["plans"] is None


def test_a_window_that_is_left_out_for_its_looks_has_no_flow(job: PreprocessJob, tmp_path: Path) -> None:
    black = np.zeros((6, 48, 64, 3), np.uint8)
    (tmp_path / "videos").mkdir()
    write_video(str(tmp_path / "videos" / "black.mp4"), black, 25.0)
    own = preprocess_job(tmp_path / "videos", tmp_path / "store")
    (row,) = clips_of(own)
    assert (row["outcome"], row["rule"]) == ("filtered", "black")
    store = open_store(own.store)
    assert len(store.table("looks").states()) == 1
    assert store.table("motion").states() == {}


NO_CHANGE: dict[str, dict[str, Any]] = {
    "network": {"backbone": TinyConfig(width=32, depth=1)},
    "work": {"work": PreprocessWork(latents=Resources(actors=3), max_attempts=9)},
    "windows": {"clip": ClipConfig(frames=6, height=32, width=32, stride=2, max_windows=5)},
}


@pytest.mark.parametrize("name", NO_CHANGE)
def test_what_cannot_change_a_clip_is_no_part_of_its_fingerprint(job: PreprocessJob, name: str) -> None:
    assert preprocess.clip_fingerprint(job.model_copy(update=NO_CHANGE[name])) == preprocess.clip_fingerprint(job)


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
    actor = RenderClip(store, job, newest_model(store, job.model), videos)
    return job, committed(videos, [actor(item) for item in ready(items, videos)])


def pixels(store: Store, row: Row) -> np.ndarray:
    with store.local_copy(row["file"]) as local:
        return decode(local, range(row["frames"]), None)


def test_a_video_has_the_clips_rate_length_and_size_and_its_file_the_hash_of_the_row(store: Store) -> None:
    _, (row,) = rendered(store, name="one")
    assert (row["outcome"], row["fps"], row["frames"], row["steps"]) == ("done", 25.0, 6, 2)
    assert pixels(store, row).shape == (6, 32, 32, 3)
    assert row["file"] == f"renders/one/{row['key']}-{row['sha256'][:16]}.mp4"
    assert len(store.filesystem.cat_file(store.path(row["file"]))) == row["bytes"]


def test_a_set_by_another_name_has_the_same_videos_and_another_seed_has_others(store: Store) -> None:
    rows = [rendered(store, name=name, seed=seed)[1][0] for name, seed in (("first", 0), ("again", 0), ("other", 1))]
    assert rows[0]["sha256"] == rows[1]["sha256"] != rows[2]["sha256"]
    assert len({row["key"] for row in rows}) == 3


def test_a_job_renders_with_the_models_noise_and_sampler_unless_it_has_its_own(store: Store) -> None:
    plain, _ = rendered(store, name="plain")
    model = newest_model(store, "equivdm")
    assert settings_of(plain, model) == (NoiseConfig(beta=0.5), SamplerConfig(steps=2))
    own = plain.model_copy(update={"noise": NoiseConfig(kind="independent"), "sampler": None})
    student = replace(model, sampler=SamplerConfig(steps=1))
    assert settings_of(own, student) == (NoiseConfig(kind="independent"), SamplerConfig(steps=1))
    prints = {clip_fingerprint(each, model) for each in (plain, own)}
    assert len(prints | {clip_fingerprint(own, student)}) == 3


def test_a_video_that_is_measured_has_a_row_for_every_metric_and_a_lost_one_says_why(store: Store) -> None:
    _, (good,) = rendered(store, name="good")
    _, (lost,) = rendered(store, name="lost", seed=1)
    store.filesystem.rm_file(store.path(lost["file"]))
    values = {"store": {"root": store.root}, "renders": ("good", "lost"), "metrics": OF_MOTION, "bootstrap": 100}
    evaluation, rows = evaluated(EvaluateJob.model_validate(values))
    found = {row["metric"]: row["value"] for row in rows if row["name"] == "good"}
    assert set(found) == set(OF_MOTION)
    failed = [row for row in rows if row["name"] == "lost"]
    assert {(row["outcome"], row["error"]) for row in failed} == {("failed", "FileNotFoundError")}
    assert {row["metric"] for row in failed} == set(OF_MOTION)
    scores = read_scores(evaluation)
    assert {name: value for name, by_clip in scores.values["good"].items() for value in by_clip.values()} == found
    assert scores.values["lost"] == {}
    assert evaluation.table.states()[failed[0]["key"]] == State("failed", 1)
    assert good["clip"] == lost["clip"]
