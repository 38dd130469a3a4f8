"""Driving videos with Wan, text to video and VACE, at a tiny random size: a codec that is causal in time."""

import numpy as np
import pytest
import torch

from equivdm.backbones import backbone_of
from equivdm.backbones.wan.control import control_video, vace_control
from equivdm.blend import blend
from equivdm.config import ControlConfig, WanConfig
from equivdm.spans import lay_spans
from equivdm.video.tensors import to_frames
from pipelines.config import RenderJob, TrainJob
from pipelines.models import register_model, save_weights
from pipelines.rendering.sampler import Sampler
from pipelines.schemas import from_tensor
from pipelines.store import open_store
from tests.equivdm.backbones.wan import tiny
from tests.pipelines import film_hand
from tests.pipelines.film_cases import film_job, pixels
from tests.pipelines.film_hand import films_of, prepared, rendered
from tests.pipelines.test_wan import model
from tests.pipelines.videos import write_scene

FRAMES = 14
"""Of the video: windows of 9, which begin at 0, 4 and 8, the last of which repeats its last frame three times."""


@pytest.fixture(scope="module", params=[False, True], ids=["t2v", "vace"])
def job(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RenderJob:
    """A long and a short video, with a model whose weights are those of its folder."""
    folder = tmp_path_factory.mktemp("wan")
    for name, frames in (("long", FRAMES), ("short", 5)):
        write_scene(folder / "videos" / f"{name}.mp4", 1, frames)
    backbone = model(folder / "model", request.param)
    job = film_job(
        folder / "videos",
        folder / "store",
        frame={"height": 32, "width": 48},
        window={"frames": 9, "overlap": 5},
        sampler={"kind": "unipc", "steps": 2, "shift": 3.0, "guidance": 2.0},
        output={"codec": "lossless"},
    )
    add_wan(job, backbone, request.param)
    rendered(job)
    return job


def add_wan(job: RenderJob, backbone: WanConfig, vace: bool) -> None:
    store, network = open_store(job.store), tiny.denoiser(vace)
    weights = save_weights(store, "wan", network.state_dict(), network)
    trained = TrainJob.model_validate({"store": job.store, "name": job.model, "backbone": backbone})
    register_model(store, trained, "wan", None, weights=weights, steps=0, history=(), run="test", seconds=0.0)


def test_a_long_video_is_its_windows_blended_and_decoded_at_once(job: RenderJob) -> None:
    films = films_of(job)
    rows = {row["path"]: row for row in films.store.table("videos").rows()}
    assert {path: (row["outcome"], row["frames"], row["windows"]) for path, row in rows.items()} == {
        "long.mp4": ("done", FRAMES, 3),
        "short.mp4": ("done", 5, 1),
    }
    geometry, codec = backbone_of(films.model.backbone).geometry, backbone_of(films.model.backbone).build_codec()
    spans = lay_spans(FRAMES, 9, 5, geometry)
    again = films_of(job.model_copy(update={"name": "again"}))
    keys = [window["key"] for window in again.windows(film_hand.survey(again))]
    samples = {row["key"]: from_tensor(row["latents"]) for row in films.store.table("samples").rows(keys=keys)}
    latents = torch.cat([*blend(((s, as_latents(samples[k])) for s, k in zip(spans, keys, strict=True)), geometry)], 2)
    with torch.inference_mode():
        whole = to_frames(codec.decode(latents)[0])[:FRAMES]
    # A stream of chunks rounds otherwise than one pass.
    assert np.abs(pixels(films.store, rows["long.mp4"]).astype(int) - whole).max() <= 1


def as_latents(stored: np.ndarray) -> torch.Tensor:
    return torch.tensor(stored).float()[None]


def test_a_window_is_shown_what_vace_is_trained_to_see(job: RenderJob) -> None:
    """Latents of the condition on the shot's scale, beside those of nothing; text to video is shown none."""
    films = films_of(job.model_copy(update={"name": "shown", "seed": 5}))
    drives = [row for row in film_hand.survey(films) if row["path"] == "long.mp4"]
    (first, *_) = films.with_motion([{**row, "attempt": 1, "run": "x"} for row in films.windows(drives)])
    row = prepared(films, first)
    sampler = Sampler(films.store, films.job, films.model)
    shown = sampler.shown(row)
    assert shown.text.shape[1] == shown.empty.shape[1] == tiny.FEATURES
    if backbone_of(films.model.backbone).control_form() == "none":
        assert shown.control is None
        return
    control = torch.tensor(from_tensor(row["control"]))[None]
    planes = vace_control(sampler.codec, control_video(control))[0, :32]
    assert shown.control is not None
    np.testing.assert_allclose(shown.control, planes.numpy(), atol=2e-3)
    unseen = films.job.model_copy(update={"control": ControlConfig(kind="none")})
    nothing = Sampler(films.store, unseen, films.model).shown(row)
    np.testing.assert_array_equal(nothing.control, shown.nothing)
