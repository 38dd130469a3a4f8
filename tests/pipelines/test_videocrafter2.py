"""VideoCrafter2 at the least size through the jobs: preprocess, train, distill, render."""

from pathlib import Path

import pytest
import torch

from equivdm.backbones import backbone_of
from equivdm.config import LoraConfig, SamplerConfig
from pipelines import distill, preprocess, render, train
from pipelines.config import DistillJob, RenderJob, TrainJob
from pipelines.distill_config import GanConfig, RegressionConfig
from pipelines.distill_recipe import make_recipe
from pipelines.engines import make_plain
from pipelines.loop import run as run_steps
from pipelines.models import load_denoiser, register_model, save_weights
from pipelines.session import set_up
from pipelines.store import open_store
from tests.equivdm.backbones.videocrafter2 import tiny
from tests.pipelines.fit_cases import fit_config
from tests.pipelines.hand import clips_of
from tests.pipelines.videos import preprocess_job, write_scene


def test_a_student_takes_a_step_with_all_of_it(tmp_path: Path) -> None:
    backbone, cpu = tiny.write(tmp_path), torch.device("cpu")
    write_scene(tmp_path / "videos" / "1.mp4", 1)
    clips = preprocess_job(tmp_path / "videos", tmp_path / "store", backbone=backbone)
    keys, store = [row["key"] for row in clips_of(clips)], open_store(clips.store)
    network = backbone_of(backbone).build_denoiser()
    facts = {"weights": save_weights(store, "teacher", network.state_dict(), network), "steps": 0, "history": ()}
    trained = TrainJob(store=clips.store, name="teacher", backbone=backbone)
    teacher = register_model(store, trained, "teacher", None, run="run", seconds=1.0, **facts)
    fit = fit_config(steps=1, batch=1)
    options = {"guidance": 12.0, "fake_lora": LoraConfig(rank=2), "gan": GanConfig(width=8), "fake_updates": 1}
    job = DistillJob(store=clips.store, teacher="teacher", fit=fit, regression=RegressionConfig(steps=1), **options)
    session = set_up(make_recipe(job, store, teacher, keys[:1], cpu, 0, 1), fit, cpu, make_plain)
    run_steps(session)
    assert {"gan_loss", "head_loss", "regression_loss"} <= {figure.metric for figure in session.history}
    assert any(not torch.equal(each, network.state_dict()[name]) for name, each in session.main.state_dict().items())


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("local_ray")
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
