"""Conditions in colour, from the clips' frames or from files to what a network is shown."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from equivdm.backbones import backbone_of
from equivdm.config import ControlConfig, NoiseConfig, TinyConfig
from equivdm.control import control_map
from equivdm.errors import UsageError
from equivdm.video.decode import decode
from pipelines.clips import read_clips
from pipelines.config import PreprocessJob
from pipelines.loader import ClipReader, Loader, SampleConfig
from pipelines.schemas import from_tensor
from pipelines.shown import check_colour
from pipelines.store import open_store
from tests.pipelines.hand import clips_of
from tests.pipelines.videos import preprocess_job, write_scene

TINY = TinyConfig(width=16, depth=1, heads=2, control_channels=3)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> PreprocessJob:
    """Two clips of a video with its low resolution as their condition."""
    folder = tmp_path_factory.mktemp("colour")
    write_scene(folder / "videos" / "a.mp4", seed=1)
    job = preprocess_job(
        folder / "videos", folder / "store", control=ControlConfig(kind="low_resolution"), backbone=TINY
    )
    assert [row["outcome"] for row in clips_of(job)] == ["done", "done"]
    return job


def test_a_clip_s_condition_is_that_of_its_frames(job: PreprocessJob) -> None:
    store = open_store(job.store)
    rows = store.table("clips").rows()
    for part in read_clips(store, [row["key"] for row in rows], ("indices", "path", "control")):
        frames = decode(str(Path(job.source.root, part["path"])), part["indices"], (32, 32))
        np.testing.assert_array_equal(from_tensor(part["control"]), control_map(frames, job.control))


def test_a_network_for_colour_is_shown_it_and_another_is_refused(job: PreprocessJob) -> None:
    store, backbone = open_store(job.store), backbone_of(TINY)
    rows = store.table("clips").rows()
    reader = ClipReader(store, [row["key"] for row in rows], backbone.geometry)
    batch = Loader(SampleConfig(1, 2, NoiseConfig(), backbone.diffusion()), list(reader.sizes), reader).batch(0)
    assert batch.conditions.control is not None
    assert batch.conditions.control.shape == (2, 6, 32, 32, 3)
    denoiser = backbone.build_denoiser(seed=0)
    loss = backbone.diffusion().loss(denoiser, batch.latents, batch.noises[0], batch.times, batch.conditions)
    assert torch.isfinite(loss)
    check_colour(store, rows, TINY)
    with pytest.raises(UsageError, match=r"^backbone.control_channels: got 1 .* such as a.mp4, wanted 3"):
        check_colour(store, rows, TINY.model_copy(update={"control_channels": 1}))


def test_pictures_beside_a_video_are_its_condition_and_part_of_its_content(tmp_path: Path) -> None:
    video = tmp_path / "videos" / "a.mp4"
    write_scene(video, seed=1)
    job = preprocess_job(video.parent, tmp_path / "store", control=ControlConfig(kind="file"), backbone=TINY)
    (without,) = clips_of(job)
    assert (without["outcome"], without["error"]) == ("quarantined", "BadControl")

    folder = video.with_suffix(".control")
    folder.mkdir()
    for number, frame in enumerate(decode(str(video), range(13), None)):
        cv2.imwrite(str(folder / f"frame_{number:05d}.png"), frame[..., ::-1] // 2)
    job = job.model_copy(update={"store": job.store.model_copy(update={"root": str(tmp_path / "with")})})
    first, store = clips_of(job), open_store(job.store)
    for part in read_clips(store, [row["key"] for row in first], ("indices", "control")):
        shown = decode(str(video), part["indices"], (32, 32)).astype(int) // 2
        assert np.abs(from_tensor(part["control"]).astype(int) - shown).max() <= 1
    assert clips_of(job) == []

    cv2.imwrite(str(folder / "frame_00003.png"), np.zeros((48, 64, 3), np.uint8))
    video.touch()  # a version is of the video and its caption
    again = clips_of(job)
    assert {row["key"] for row in again}.isdisjoint(row["key"] for row in first)
    (black,) = (row for row in again if row["window"] == 0)
    (part,) = read_clips(store, [black["key"]], ("control",))
    assert [not frame.any() for frame in from_tensor(part["control"])] == [False] * 3 + [True] + [False] * 2
