"""VideoCrafter2 at the least size through the jobs: preprocess, train, distill, render."""

from pathlib import Path

import pytest

from equivdm.backbones import backbone_of
from equivdm.config import SamplerConfig
from pipelines import distill, preprocess, render, train
from pipelines.config import DistillJob, RenderJob, TrainJob
from pipelines.models import load_denoiser
from pipelines.store import open_store
from tests.equivdm.backbones.videocrafter2 import tiny
from tests.pipelines.fit_cases import fit_config
from tests.pipelines.videos import preprocess_job, write_scene

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.usefixtures("local_ray"), pytest.mark.timeout(900)]


def test_the_whole_path(tmp_path: Path) -> None:
    backbone = tiny.write(tmp_path)
    write_scene(tmp_path / "videos" / "1.mp4", 1)
    clips = preprocess_job(tmp_path / "videos", tmp_path / "store", backbone=backbone)
    assert preprocess.run(clips).counts["done"] == 2
    store, common = open_store(clips.store), {"store": clips.store, "ray": clips.ray}
    assert not store.table("controls").rows()

    fit = fit_config(steps=2, batch=2, checkpoint_every=2)
    model = train.run(TrainJob(**common, backbone=backbone, fit=fit)).model
    assert model.sampler == SamplerConfig(kind="euler", steps=50, guidance=12)
    assert backbone_of(model.backbone).diffusion(model.objective) == backbone_of(backbone).diffusion()
    student = distill.run(DistillJob(**common, fit=fit, fake_updates=1)).model
    assert (student.backbone, student.sampler) == (backbone, SamplerConfig(kind="renoise", steps=1))
    assert load_denoiser(store, "student")[2] == student

    few = SamplerConfig(steps=2, guidance=12)
    for name, sampler in (("equivdm", few), ("student", None)):
        summary = render.run(RenderJob(**common, name=name, model=name, sampler=sampler))
        assert summary.counts["done"] == 2
    videos = store.table("videos").rows()
    assert {(row["frames"], row["height"], row["width"]) for row in videos} == {(6, 32, 32)}
    assert len({row["sha256"] for row in videos}) == 4
