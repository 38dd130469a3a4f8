"""Validation while a model trains: deterministic, of the averaged weights, and without a trace in the training."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from equivdm.backbones import backbone_of
from equivdm.backbones.base import DenoiserModule
from equivdm.config import LoraConfig, NoiseConfig, SamplerConfig
from equivdm.errors import UsageError
from equivdm.metrics import OF_MOTION
from equivdm.video.decode import decode
from pipelines.clips import select_clips
from pipelines.config import TrainJob
from pipelines.engines import make_plain
from pipelines.fit_config import OptimizerConfig, ValidateConfig
from pipelines.loop import Dues, run
from pipelines.models import Figure
from pipelines.session import Session, set_up
from pipelines.settings import SelectConfig
from pipelines.start import first_network
from pipelines.store import Store, open_store
from pipelines.train import make_recipe
from pipelines.train import run as run_job
from pipelines.validated import read_validations
from pipelines.validation import Validation, plan_validation
from pipelines.worker import validate
from tests.pipelines.fit_cases import BACKBONE, FRAMES, PIXELS, distill_job, fit_config, train_job, write_clips

CPU = torch.device("cpu")

HELD_OUT = SelectConfig(include=("video_4.mp4", "video_5.mp4"))

METRICS = {f"val_{name}" for name in OF_MOTION}


def job(root: Path, every: int | None = 3, **changes: object) -> TrainJob:
    """A job that validates every so many of its eight steps, or not at all."""
    chosen = ValidateConfig(every=every, data=HELD_OUT, sampler=SamplerConfig(steps=2)) if every else None
    fit = fit_config(validation=chosen, **changes)
    return train_job(str(root), fit, data=SelectConfig(exclude=HELD_OUT.include))


def planned(config: TrainJob, store: Store) -> Validation | None:
    return plan_validation(
        config,
        store,
        "key",
        build=partial(first_network, config, store, None),
        backbone=BACKBONE,
        diffusion=backbone_of(BACKBONE).diffusion(),
        noise=NoiseConfig(),
        sampler=SamplerConfig(),
        has_loss=True,
    )


def trained(config: TrainJob) -> Session:
    """Train with plain torch."""
    store = open_store(config.store)
    keys = [clip["key"] for clip in select_clips(store, config.data)]
    session = set_up(make_recipe(config, store, keys, CPU, 0, 1), config.fit, CPU, make_plain)
    validation = planned(config, store)
    run(session, Dues(validate=lambda: validate(session, validation, 0)))
    return session


def test_validation_leaves_no_trace_in_the_training(tmp_path: Path) -> None:
    write_clips(open_store(job(tmp_path).store))
    torch.manual_seed(0)
    with_, global_ = trained(job(tmp_path)), torch.random.get_rng_state()
    torch.manual_seed(0)
    without = trained(job(tmp_path, every=None))
    assert torch.equal(global_, torch.random.get_rng_state())
    assert [f for f in with_.history if not f.metric.startswith("val_")] == without.history
    for name, value in with_.main.state_dict().items():
        assert torch.equal(value, without.main.state_dict()[name])
    figures = [f for f in with_.history if f.metric.startswith("val_")]
    assert {f.step for f in figures} == {3, 6, 8}
    assert {f.metric for f in figures} == {*METRICS, "val_loss"}


def test_adapters_are_validated_on_their_base(tmp_path: Path) -> None:
    config = job(tmp_path).model_copy(update={"lora": LoraConfig(rank=2)})
    write_clips(open_store(config.store))
    session = trained(config)
    alone = planned(config, open_store(config.store))
    assert alone is not None
    figures = {f.metric: f.value for f in session.history if f.step == 8 and f.metric.startswith("val_")}
    assert alone(session.ema.state_dict(), 8, CPU) == figures


def test_the_same_weights_give_the_same_figures_and_videos(tmp_path: Path) -> None:
    store = open_store(job(tmp_path).store)
    write_clips(store)
    validation, weights = planned(job(tmp_path), store), backbone_of(BACKBONE).build_denoiser(seed=3).state_dict()
    generator = torch.Generator().manual_seed(0)  # a new network says nothing: its last layer is zero
    weights = {name: value + 0.1 * torch.randn(value.shape, generator=generator) for name, value in weights.items()}
    assert validation is not None
    build, built = validation.build, list[DenoiserModule]()

    def build_and_tell() -> DenoiserModule:
        built.append(build())
        return built[-1]

    validation = replace(validation, build=build_and_tell)
    figures = validation(weights, 10, CPU)
    assert validation(backbone_of(BACKBONE).build_denoiser(seed=4).state_dict(), 30, CPU) != figures
    assert validation(weights, 20, CPU) == figures  # of the one before nothing is left
    assert len(built) == 1
    records = read_validations(store, "key")
    assert [record.step for record in records] == [10, 20, 30]
    assert {f"val_{name}": value for name, value in records[0].figures.items()} == figures
    assert [clip.key for clip in records[0].clips] == [clip["key"] for clip in validation.clips]
    folders = [tmp_path / "weights" / "key" / "validation" / f"step_{step}" for step in (10, 20)]
    first, second = (sorted(folder.glob("*.mp4")) for folder in folders)
    assert [file.name.partition(".mp4_")[0] for file in first] == ["video_4", "video_5"]
    assert {file.name for file in first} == {clip.file for clip in records[0].clips}
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]
    assert decode(str(first[0]), range(FRAMES), None).shape == (FRAMES, PIXELS, PIXELS, 3)


def test_a_better_model_has_a_lower_validation_loss(tmp_path: Path) -> None:
    config = job(tmp_path, every=30, steps=60, report_every=60, optimizer=OptimizerConfig(lr=1e-2, warmup=1))
    write_clips(open_store(config.store), count=2)
    seen = config.fit.validation.model_copy(update={"data": SelectConfig()})  # the clips that are trained on
    config = config.model_copy(update={"fit": config.fit.model_copy(update={"validation": seen})})
    losses = [f.value for f in trained(config).history if f.metric == "val_loss"]
    validation = planned(config, open_store(config.store))
    new = validation(backbone_of(BACKBONE).build_denoiser(seed=0).state_dict(), 0, CPU)["val_loss"]
    assert 0.9 * new > losses[0] > losses[1]


def test_clips_that_are_not_there_are_told_before_anything_starts(tmp_path: Path) -> None:
    config = job(tmp_path)
    write_clips(open_store(config.store), count=3)
    with pytest.raises(UsageError, match=r"include=\['video_4.mp4', 'video_5.mp4'\].*selects none of 3"):
        run_job(config)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(1800)  # three starts of workers
@pytest.mark.usefixtures("local_ray")
def test_partitioned_weights_are_validated_too_and_a_student_as_well(tmp_path: Path) -> None:
    from pipelines.distill import run as run_distill

    config = job(tmp_path, every=4)
    parallel = config.fit.parallel.model_copy(update={"workers": 2, "zero_stage": 3})
    fit = config.fit.model_copy(update={"parallel": parallel})
    config = config.model_copy(update={"fit": fit})
    write_clips(open_store(config.store))
    found = figures(run_job(config).model.history)
    plain = figures(tuple(trained(config).history))
    assert [f[:2] for f in found] == [f[:2] for f in plain]
    assert [f.value for f in found] == pytest.approx([f.value for f in plain], rel=2e-2)
    assert fit.validation
    own = fit.validation.model_copy(update={"sampler": None})  # a student has steps of its own
    distilled = distill_job(str(tmp_path), fit.model_copy(update={"validation": own}), data=config.data)
    student = run_distill(distilled).model
    assert {f.metric for f in figures(student.history)} == METRICS
    videos = (tmp_path / "weights" / student.key / "validation").rglob("*.mp4")
    assert len(list(videos)) == 4  # of two clips, after steps four and eight


def figures(history: tuple[Figure, ...]) -> list[Figure]:
    """Those of the validation."""
    return [figure for figure in history if figure.metric.startswith("val_")]
