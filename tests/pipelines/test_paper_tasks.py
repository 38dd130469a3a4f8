"""The tasks of the paper by their ready specs, at tiny size: style transfer, upsampling, sim-to-real."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from equivdm.errors import UsageError
from equivdm.video.synthetic import render_scene
from equivdm.video.write import write_video
from jobs.specs import load_spec
from pipelines.config import RenderJob
from pipelines.store import open_store
from pipelines.tables import Row
from tests.pipelines.film_cases import pixels, with_model
from tests.pipelines.film_hand import films_of, rendered
from tests.pipelines.random_models import BACKBONE
from tests.pipelines.videos import write_scene

FRAMES = 12
"""Of the driving videos: two windows of 8."""


def job_of(spec: str, folder: Path, frame: str = "{height: 32, width: 48}", **changes: Any) -> RenderJob:
    """Return a spec's job at tiny size, with a model of random weights."""
    settings = [
        f"store.root={folder / 'store'}",
        f"source.root={folder / 'videos'}",
        f"frame={frame}",
        "window={frames: 8, overlap: 2}",
        "sampler={steps: 2}",
        "work={}",
    ]
    job = cast(RenderJob, load_spec(spec, settings, "render"))
    return with_model(job, **changes)


def only(job: RenderJob) -> Row:
    """Render the one video of a job."""
    (row,) = rendered(job).values()
    return row


def test_style_transfer_follows_the_prompt_of_the_spec_and_not_the_videos_caption(tmp_path: Path) -> None:
    write_scene(tmp_path / "videos" / "a.mp4", 1, FRAMES)
    job = job_of("style_transfer", tmp_path)
    row = only(job)
    assert (row["outcome"], row["frames"], row["windows"]) == ("done", FRAMES, 2)
    assert row["caption"] == job.prompt != (tmp_path / "videos" / "a.txt").read_text()
    other = only(job.model_copy(update={"prompt": "a drawing in charcoal"}))
    store = open_store(job.store)
    assert (pixels(store, row) != pixels(store, other)).any()


def test_upsampling_enlarges_and_is_shown_colours(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    small = render_scene(2, frames=FRAMES, height=24, width=32).frames
    write_video(str(tmp_path / "videos" / "small.mp4"), small, 25.0, crf=4)
    network = BACKBONE.model_copy(update={"control_channels": 3})
    job = job_of("upsampling", tmp_path, "{height: 48, rule: pad}", network=network)
    row = only(job)
    assert (row["outcome"], row["height"], row["width"]) == ("done", 48, 64)
    grey = job_of("upsampling", tmp_path / "grey", "{height: 48, rule: pad}")
    with pytest.raises(UsageError, match=r"control.kind: got low_resolution, in colour, for a model that takes"):
        films_of(grey).check()


def test_sim_to_real_takes_its_motion_from_the_renderer(tmp_path: Path) -> None:
    """With vectors the video is rendered; with others it is another one; without any its row says what is missing."""
    scene = render_scene(3, frames=FRAMES, height=48, width=64)
    (tmp_path / "videos").mkdir()
    write_video(str(tmp_path / "videos" / "scene.mp4"), scene.frames, 25.0)
    job = job_of("sim_to_real", tmp_path)
    lost = only(job)
    assert (lost["outcome"], lost["error"], lost["file"]) == ("quarantined", "BadFlow", None)
    keys, files = set(), set()
    for motion in (scene.forward, np.zeros_like(scene.forward)):
        np.savez(tmp_path / "videos" / "scene.flow.npz", forward=motion, backward=-motion)
        other = job.model_copy(update={"name": f"motion{len(keys)}"})
        row = only(with_fresh_store(other, tmp_path / f"store{len(keys)}"))
        assert (row["outcome"], row["windows"]) == ("done", 2)
        keys.add(row["key"])
        files.add(row["sha256"])
    assert len(keys) == len(files) == 2


def with_fresh_store(job: RenderJob, root: Path) -> RenderJob:
    """Return the job with a store of its own: a changed file beside a video does not make it a new version."""
    return with_model(job.model_copy(update={"store": job.store.model_copy(update={"root": str(root)})}))
