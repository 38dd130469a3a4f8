"""VideoCrafter2 at the least size through the jobs: preprocess, train, distill, render."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch

from equivdm.backbones import backbone_of
from equivdm.backbones.base import Conditions
from equivdm.config import LoraConfig, SamplerConfig
from pipelines import distill, preprocess, render, train
from pipelines.config import DistillJob, RenderJob, TrainJob
from pipelines.distill_config import GanConfig, RegressionConfig
from pipelines.distill_recipe import Distillation, make_parts
from pipelines.engines import make_plain
from pipelines.flops import ForwardFlops
from pipelines.loader import Batch
from pipelines.models import load_denoiser
from pipelines.session import set_up
from pipelines.settings import StoreConfig
from pipelines.store import open_store
from tests.equivdm.backbones.videocrafter2 import tiny
from tests.pipelines.fit_cases import fit_config
from tests.pipelines.videos import preprocess_job, write_scene


def test_a_student_takes_a_step_with_all_of_it(tmp_path: Path) -> None:
    config, cpu, fit = tiny.write(tmp_path), torch.device("cpu"), fit_config(steps=1, batch=1)
    diffusion, network = backbone_of(config).diffusion(), backbone_of(config).build_denoiser().requires_grad_(False)
    options = {"guidance": 12.0, "fake_lora": LoraConfig(rank=2), "gan": GanConfig(width=8), "fake_updates": 1}
    job = DistillJob(store=StoreConfig(root="here"), fit=fit, regression=RegressionConfig(steps=1), **options)
    torch.manual_seed(0)
    latents, again, noise, *_ = torch.randn(3, 1, 4, 2, 4, 4)
    text, empty = (Conditions(torch.randn(1, 12, 24), None, torch.tensor([8.0])) for _ in range(2))
    batch = Batch(latents, (noise, again), torch.tensor([0.4]), text, empty=empty)
    parts = make_parts(job, config, network, deepcopy(network))
    recipe = Distillation(job, parts, network, None, ForwardFlops(network), diffusion, cpu)  # it has its batch
    session = set_up(recipe, fit, cpu, make_plain)
    metrics = recipe.update(session.engines, session.frozen, [batch, batch], 0)
    assert list(metrics) == ["loss", "matching_loss", "gan_loss", "regression_loss", "fake_loss", "head_loss"]
    assert all(value.isfinite() for value in metrics.values())
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
    assert model.sampler == SamplerConfig(kind="ddim", steps=50, guidance=12)
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
