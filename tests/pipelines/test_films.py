"""Driving videos to videos, step by step without Ray: lengths, sizes, stamps, shots, and what resumes."""

import json
from itertools import islice
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from equivdm.backbones import backbone_of
from equivdm.blend import blend
from equivdm.errors import UsageError
from equivdm.render_config import OutputConfig
from equivdm.spans import lay_spans
from equivdm.video.probe import probe
from equivdm.video.synthetic import render_scene
from equivdm.video.tensors import to_frames
from equivdm.video.write import write_video
from jobs.specs import load_spec
from pipelines import render
from pipelines.audit import audit
from pipelines.batch import commit
from pipelines.config import RenderJob
from pipelines.plan import make_plan
from pipelines.quarantine import take_out
from pipelines.rendering.motion import follow_shot
from pipelines.room import least
from pipelines.schemas import from_tensor
from pipelines.store import open_store
from pipelines.tables import Row
from tests.pipelines import film_hand
from tests.pipelines.film_cases import LENGTHS, film_job, pixels, with_model, write_films, write_uneven
from tests.pipelines.film_hand import films_of, rendered
from tests.pipelines.random_models import BACKBONE, add_model
from tests.pipelines.videos import write_scene


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> RenderJob:
    """Three videos and a broken one, rendered once."""
    folder = tmp_path_factory.mktemp("films")
    write_films(folder / "videos")
    job = with_model(film_job(folder / "videos", folder / "store"))
    rendered(job)
    return job


def rows_of(job: RenderJob) -> dict[str, Row]:
    rows = open_store(job.store).table("videos").rows()
    return {row["path"].removesuffix(".mp4"): row for row in rows if row["name"] == job.name}


def files(job: RenderJob, table: str) -> set[str]:
    return {file.name for file in open_store(job.store).table(table).files()}


def test_each_video_has_a_row_with_its_lineage_and_a_file_of_its_length(job: RenderJob) -> None:
    rows, store = rows_of(job), open_store(job.store)
    (model,) = store.table("models").rows(keys=[rows["short"]["model"]])
    for name, frames in LENGTHS.items():
        row = rows[name]
        assert (row["outcome"], row["frames"], row["steps"], row["fps"]) == ("done", frames, 2, 25.0)
        assert (row["weights"], row["seed"], row["clip"]) == (model["weights"], 0, None)
        assert row["caption"] == Path(job.source.root, f"{name}.txt").read_text()
        assert RenderJob.model_validate(json.loads(row["config"])) == job
        assert pixels(store, row).shape == (frames, 32, 48, 3)
    assert {name: rows[name]["windows"] for name in LENGTHS} == {"short": 1, "long": 4, "one": 1}
    metrics = {name: {each["metric"] for each in rows[name]["metrics"]} for name in LENGTHS}
    assert metrics == {"short": {"warp_error"}, "long": {"warp_error", "seam_ratio"}, "one": set()}


def test_a_broken_video_says_why_and_has_no_file(job: RenderJob) -> None:
    row = rows_of(job)["broken"]
    assert (row["outcome"], row["error"], row["file"]) == ("quarantined", "NotAVideo", None)
    assert "replace the file" in row["message"]


def test_the_same_job_again_has_nothing_to_do_and_an_audit_is_content(job: RenderJob) -> None:
    assert not film_hand.survey(films_of(job))
    summed = audit(job)
    assert (summed.counts["done"], summed.counts["quarantined"], list(summed.problems)) == (3, 1, [])


def test_an_audit_sees_a_file_that_changed(job: RenderJob) -> None:
    other = job.model_copy(update={"name": "changed"})
    row = rendered(other)["short.mp4"]
    Path(open_store(other.store).path(row["file"])).write_bytes(b"not the video")
    assert [problem.partition(":")[0] for problem in audit(other).problems] == [row["file"]]


def test_another_set_of_the_same_settings_has_the_same_files_and_samples_no_window_again(job: RenderJob) -> None:
    before = files(job, "samples")
    again = rendered(job.model_copy(update={"name": "again"}))
    first = rows_of(job)
    assert all(again[f"{name}.mp4"]["sha256"] == first[name]["sha256"] for name in LENGTHS)
    assert files(job, "samples") == before


def test_another_model_samples_anew_and_follows_no_motion_again(job: RenderJob) -> None:
    strands, samples = files(job, "strands"), files(job, "samples")
    add_model(open_store(job.store), "other", seed=1)
    other = rendered(job.model_copy(update={"name": "other", "model": "other"}))
    assert files(job, "strands") == strands
    assert len(files(job, "samples")) == 2 * len(samples)
    assert other["long.mp4"]["sha256"] != rows_of(job)["long"]["sha256"]


def test_a_lossless_file_has_to_the_bit_what_was_sampled_blended_and_decoded(job: RenderJob) -> None:
    values = job.model_dump(exclude_unset=True) | {"name": "lossless", "output": {"codec": "lossless"}}
    films = films_of(RenderJob.model_validate(values))
    drives = film_hand.survey(films)
    row = rendered(films.job)["long.mp4"]
    assert row["file"].endswith(".mkv")
    spans = lay_spans(21, 8, 2, backbone_of(BACKBONE).geometry)
    keys = [window["key"] for window in films.windows(drives)]
    samples = {each["key"]: from_tensor(each["latents"]) for each in films.store.table("samples").rows(keys=keys)}
    latents = [torch.tensor(samples[key]).float()[None] for key in keys]
    blended = torch.cat([*blend(zip(spans, latents, strict=True), backbone_of(BACKBONE).geometry)], dim=2)
    painted = to_frames(backbone_of(BACKBONE).build_codec().decode(blended)[0])
    np.testing.assert_array_equal(pixels(films.store, row), painted)


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"use_control": False}, {"noise": {"kind": "independent"}}, {"prompt": "a red sky"}]
)
def test_what_changes_a_video_changes_its_key_and_what_it_is_sampled_from(job: RenderJob, change: dict) -> None:
    films = films_of(RenderJob.model_validate(job.model_dump(exclude_unset=True) | change))
    drives = film_hand.survey(films)
    assert len(drives) == len(LENGTHS) + 1
    keys = {row["key"] for row in films.windows(drives)}
    assert not keys & open_store(job.store).table("spans").states().keys()
    assert {row["key"] for row in films.shots(drives)} <= open_store(job.store).table("shots").states().keys()


def test_a_shot_that_was_left_in_the_middle_goes_on_to_the_same_video(job: RenderJob, tmp_path: Path) -> None:
    """Two of four pieces are committed; the rest follows from the second one's state, and no bit differs."""
    half = with_model(film_job(job.source.root, tmp_path))
    films = films_of(half)
    drives, table = film_hand.survey(films), films.store.table("shots")
    (shot,) = film_hand.pending(films.shots(drives), table, films.with_strands)
    for part in islice(follow_shot(shot, half, films.model, films.store, films.motion), 2):
        commit([part], table)
    before = files(half, "strands")
    assert len(before) == 2
    rows = rendered(half)
    assert before < files(half, "strands")
    assert len(files(half, "strands")) == 4
    assert rows["long.mp4"]["message"] is None
    assert rows["long.mp4"]["sha256"] == rows_of(job)["long"]["sha256"]


def test_a_window_that_fails_fails_its_video_and_is_all_that_is_tried_again(job: RenderJob, tmp_path: Path) -> None:
    films = films_of(with_model(film_job(job.source.root, tmp_path)))
    drives = film_hand.survey(films)
    film_hand.follow(films, drives)
    strands = films.store.table("strands")
    wanted = films.with_motion([{**row, "attempt": 1} for row in films.windows(drives)])
    lost = Path(strands.folder, wanted[0]["strands"][0])
    kept = lost.read_bytes()
    lost.unlink()
    film_hand.sample(films, drives)
    row = {row["path"]: row for row in film_hand.write(films, drives)}["long.mp4"]
    assert (row["outcome"], row["file"]) == ("failed", None)
    assert row["message"].startswith("1 of 4 windows were not sampled; window 1: ")
    samples = files(films.job, "samples")
    assert len(samples) == 3
    lost.write_bytes(kept)
    row = rendered(films.job)["long.mp4"]
    assert (row["outcome"], row["sha256"]) == ("done", rows_of(job)["long"]["sha256"])
    assert samples < files(films.job, "samples")


def test_shots_have_noise_and_windows_of_their_own(tmp_path: Path) -> None:
    """A video of two scenes, the second of which is rendered alone as well: nothing goes across the cut."""
    scenes = [render_scene(seed, frames=count, height=48, width=64).frames for seed, count in ((1, 12), (8, 9))]
    (tmp_path / "videos").mkdir()
    write_video(str(tmp_path / "videos" / "cut.mp4"), np.concatenate(scenes), 25.0, crf=8)
    job = with_model(film_job(tmp_path / "videos", tmp_path / "store", output={"codec": "lossless"}))
    films = films_of(job)
    (drive,) = film_hand.survey(films)
    assert drive["shots"] == [0, 12]
    assert [(row["shot"], row["start"]) for row in films.windows([drive])] == [(0, 0), (0, 4), (1, 0), (1, 1)]
    row = rendered(job)["cut.mp4"]
    assert (row["frames"], row["windows"], len(pixels(films.store, row))) == (21, 4, 21)


@pytest.mark.parametrize("rule", ["crop", "pad", "stretch"])
def test_a_video_of_another_shape_comes_back_at_its_own_size(rule: str, job: RenderJob, tmp_path: Path) -> None:
    frame = {"height": 32, "width": 32, "rule": rule, "output": "source"}
    other = with_model(
        film_job(job.source.root, tmp_path, frame=frame, source={**job.source.model_dump(), "include": ["short*"]})
    )
    row = rendered(other)["short.mp4"]
    wanted = {"crop": (48, 48), "pad": (48, 64), "stretch": (48, 64)}[rule]
    assert (row["height"], row["width"]) == wanted
    assert pixels(open_store(other.store), row).shape[1:3] == wanted


def test_without_a_size_a_video_keeps_its_own_down_to_the_models_multiple(job: RenderJob, tmp_path: Path) -> None:
    other = with_model(
        film_job(job.source.root, tmp_path, frame={}, source={**job.source.model_dump(), "include": ["short*"]})
    )
    row = rendered(other)["short.mp4"]
    assert (row["height"], row["width"]) == (48, 64)


@pytest.mark.parametrize("frames", [7, 20])
def test_uneven_time_stamps_and_sound_are_carried_over(frames: int, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    stamps = write_uneven(tmp_path / "videos" / "uneven.mp4", frames)
    job = with_model(film_job(tmp_path / "videos", tmp_path / "store"))
    row = rendered(job)["uneven.mp4"]
    with open_store(job.store).local_copy(row["file"]) as local:
        np.testing.assert_array_equal(probe(local).timestamps, stamps)
        assert sound_of(local) == sound_of(str(tmp_path / "videos" / "uneven.mp4"))
    silent = job.model_copy(update={"name": "silent", "output": job.output.model_copy(update={"audio": False})})
    unheard = rendered(silent)["uneven.mp4"]
    assert (row["sound"], unheard["sound"]) == ("copied", "none")
    with open_store(job.store).local_copy(unheard["file"]) as local:
        assert not sound_of(local)


def sound_of(path: str) -> list[bytes]:
    """The packets of the sound."""
    with av.open(path) as container:
        if not container.streams.audio:
            return []
        return [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size]


def test_a_video_that_is_mended_is_rendered_after_a_retry(tmp_path: Path) -> None:
    """A file that could not be probed stands in quarantine; a retry probes it again."""
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "late.mp4").write_bytes(b"no video yet")
    job = with_model(film_job(folder, tmp_path / "store"))
    assert rendered(job)["late.mp4"]["outcome"] == "quarantined"
    assert not film_hand.survey(films_of(job))
    take_out(job, ["late.mp4"], again=True)
    (drive,) = film_hand.survey(films_of(job))
    assert drive["error"] == "NotAVideo"
    write_scene(folder / "late.mp4", 0, 7)
    assert rendered(job)["late.mp4"]["outcome"] == "done"


def test_from_and_to_s3(tmp_path: Path, s3_endpoint: str) -> None:
    import boto3

    del s3_endpoint
    write_scene(tmp_path / "long.mp4", 1, 12)
    for name in ("long.mp4", "long.txt"):
        boto3.client("s3").upload_file(str(tmp_path / name), "videos", f"{tmp_path.name}/source/{name}")
    there, here = (
        with_model(film_job(source, store))
        for source, store in (
            (f"s3://videos/{tmp_path.name}/source", f"s3://videos/{tmp_path.name}/store"),
            (tmp_path, tmp_path / "store"),
        )
    )
    rows = [rendered(each)["long.mp4"] for each in (there, here)]
    store = open_store(there.store)
    assert len(pixels(store, rows[0])) == 12
    assert rows[0]["sha256"] == rows[1]["sha256"]


def complaint(job: RenderJob) -> str:
    with pytest.raises(UsageError) as caught:
        render.run(job)
    return str(caught.value)


def test_what_cannot_work_says_so_before_any_video_is_looked_at(job: RenderJob, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"got clips beside source"):
        film_job(tmp_path, tmp_path, data={"limit": 3})
    with pytest.raises(ValidationError, match=r"window: got a setting of driving videos without a source"):
        RenderJob.model_validate({"store": {"root": "x"}, "window": {"frames": 8}})
    with pytest.raises(ValidationError, match=r"overlap: got 8 frames of windows of 8, wanted fewer"):
        film_job(tmp_path, tmp_path, window={"frames": 8, "overlap": 8})
    odd = RenderJob.model_validate(job.model_dump(exclude_unset=True) | {"frame": {"height": 30, "width": 48}})
    assert complaint(odd) == "height: got 30, wanted a multiple of 16 for this model: take 16 or 32"


def test_latents_of_neighbours_are_near_where_they_overlap(job: RenderJob) -> None:
    """They have the same noise there, and nearly the same conditions: blending has little to hide."""
    films = films_of(job.model_copy(update={"name": "look"}))
    drives = [row for row in film_hand.survey(films) if row["path"] == "long.mp4"]
    keys = [row["key"] for row in films.windows(drives)]
    samples = {row["key"]: from_tensor(row["latents"]) for row in films.store.table("samples").rows(keys=keys)}
    first, second = (samples[key].astype(float) for key in keys[:2])
    apart, spread = np.abs(first[:, 6:] - second[:, :2]).mean(), np.abs(first[:, :2] - second[:, :2]).mean()
    assert apart < 0.3 * spread


def test_a_plan_counts_videos_shots_and_windows(job: RenderJob, tmp_path: Path) -> None:
    fresh = with_model(film_job(job.source.root, tmp_path))
    plan = make_plan(fresh)
    assert (plan.unprobed, {stage.name: stage.items for stage in plan.stages}["probe"]) == (4, 4)
    films = films_of(fresh)
    drives = film_hand.survey(films)
    films_items = {stage.name: stage.items for stage in make_plan(fresh).stages}
    # Four windows of the long video, and three others, one of them broken: that one ends in its first step.
    assert films_items == {"probe": 0, "shots": 1} | dict.fromkeys(
        ("frames", "motion", "controls", "noises", "texts"), 7
    ) | {"sample": 4, "paint": 4, "write": 3}
    film_hand.follow(films, drives)
    film_hand.sample(films, drives)
    assert {stage.name: stage.items for stage in make_plan(fresh).stages}["sample"] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"shots": {"kind": "none"}},
        {"frame": {"height": 48, "width": 48}},
        {"window": {"frames": 8, "overlap": 4}},
        {"flow": {"preset": "fast"}},
        {"control": {"kind": "canny"}},
        {"output": {"crf": 30}},
        {"output": {"audio": False}},
    ],
)
def test_what_else_changes_a_video_changes_its_key(job: RenderJob, change: dict) -> None:
    """Where shots are found otherwise, videos are probed again, and their keys are others, be their shots the same."""
    films = [films_of(RenderJob.model_validate(job.model_dump(exclude_unset=True) | each)) for each in ({}, change)]
    film_hand.survey(films[1])
    keys = [{key for key in each.inputs()[1].keys.to_pylist()} for each in films]
    assert len(keys[0]) == len(keys[1]) == len(LENGTHS) + 1
    assert not keys[0] & keys[1]


def test_quality_is_nothing_to_a_lossless_video(job: RenderJob) -> None:
    films = [
        films_of(job.model_copy(update={"output": OutputConfig(codec="lossless", crf=crf)})).inputs()[1]
        for crf in (1, 2)
    ]
    assert films[0].keys == films[1].keys


def test_an_audit_reads_what_long_videos_are_made_of(job: RenderJob, tmp_path: Path) -> None:
    other = with_model(film_job(job.source.root, tmp_path))
    rendered(other)
    damaged = {table: min((tmp_path / table).glob("*.parquet")) for table in ("strands", "samples")}
    for file in damaged.values():
        file.write_bytes(file.read_bytes()[:-1] + b"x")
    said = {problem.partition(":")[0] for problem in audit(other).problems}
    assert said == {f"{table}/{file.name}" for table, file in damaged.items()}


def test_a_fault_in_the_bytes_of_a_window_is_final_for_its_video(job: RenderJob, tmp_path: Path) -> None:
    """The video's second half is damaged, and nobody looked before: its first run gives it up, whatever is allowed."""
    folder = tmp_path / "videos"
    folder.mkdir()
    whole = Path(job.source.root, "long.mp4").read_bytes()
    middle = len(whole) * 6 // 10
    (folder / "long.mp4").write_bytes(whole[:middle] + bytes(400) + whole[middle + 400 :])
    row = rendered(with_model(film_job(folder, tmp_path / "store", shots={"kind": "none"})))["long.mp4"]
    assert (row["outcome"], row["error"], row["file"]) == ("quarantined", "DamagedVideo", None)


def test_h265_of_small_frames_is_refused_before_anything_is_sampled(job: RenderJob, tmp_path: Path) -> None:
    other = with_model(film_job(job.source.root, tmp_path, output={"codec": "h265"}))
    rows = rendered(other)
    assert {rows[f"{name}.mp4"]["error"] for name in LENGTHS} == {"UnsupportedVideo"}
    assert not files(other, "samples")


def test_the_specs_of_the_papers_tasks_fit_eight_gpus(job: RenderJob) -> None:
    for name in ("style_transfer", "upsampling", "sim_to_real"):
        spec = cast(RenderJob, load_spec(name))
        films = films_of(job.model_copy(update={"work": spec.work}))
        assert least(films.steps, "gpus") == 8
