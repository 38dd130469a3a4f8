"""The estimate of a training is what its engines hold, and says what to change where a device has too little."""

import gc
from pathlib import Path

import pytest
import torch

from equivdm.backbones import backbone_of
from equivdm.backbones.base import Conditions, DenoiserModule
from equivdm.config import Bucket, LoraConfig, TinyConfig, WanConfig
from equivdm.distillation.head import Head
from equivdm.ema import Ema
from equivdm.errors import UsageError
from jobs.cli import main
from pipelines.config import DistillJob, TrainJob
from pipelines.devices import DEVICES
from pipelines.distill_config import GanConfig, RegressionConfig
from pipelines.engines import descend, make_deepspeed
from pipelines.estimate import BUCKET, Estimate, estimate
from pipelines.estimate_distill import estimate_distillation
from pipelines.fit_config import FitConfig, ParallelConfig
from pipelines.partition import held
from pipelines.settings import CostConfig, RayConfig, StoreConfig
from pipelines.store import open_store
from tests.pipelines.fit_cases import fit_config, train_job
from tests.pipelines.test_models import finish

CLIP = Bucket(frames=81, height=480, width=832)

VACE = "Wan-AI/Wan2.1-VACE-{}-diffusers"


def pixel_conditions() -> Conditions:
    """Return conditions of two clips."""
    return Conditions(torch.ones(2, 16, dtype=torch.int64), torch.zeros(2, 2, 16, 16), torch.full((2,), 8.0))


def live() -> int:
    """Bytes of all tensors that there are."""
    gc.collect()
    found = {}
    for each in gc.get_objects():
        if issubclass(type(each), torch.Tensor) and each.device.type == "cpu" and each.layout == torch.strided:
            found[each.untyped_storage().data_ptr()] = each.untyped_storage().nbytes()
    return sum(found.values())


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize(
    ("stage", "offload"), [(0, "none"), (1, "none"), (2, "optimizer"), (3, "none"), (3, "optimizer"), (3, "parameters")]
)
def test_what_is_held_between_steps_is_what_the_engine_holds(stage: int, offload: str) -> None:
    backbone = TinyConfig(width=512, depth=1, heads=2, patch=4)
    fit = FitConfig(batch=2, parallel=ParallelConfig.model_validate({"zero_stage": stage, "offload": offload}))
    job = TrainJob(store=StoreConfig(root="here"), backbone=backbone, fit=fit)
    before = live()
    denoiser: DenoiserModule = backbone_of(backbone).build_denoiser(0)
    engine = make_deepspeed(denoiser, fit, 1e-3)
    ema = Ema(held(engine.module), 0.9)
    x, conditions = torch.randn(2, 3, 2, 8, 8), pixel_conditions()
    descend(engine, [x], lambda part: engine(part, torch.full((2,), 0.5), conditions).square().mean())
    del x, conditions
    found = estimate(job, Bucket(frames=16, height=64, width=64))
    states = found.on_device | found.on_host
    wanted = sum(states[name] for name in ("weights", "average", "optimizer"))
    if stage == 3:  # which keeps its gradients' places, and its bucket
        wanted += 4 * BUCKET + found.on_device["gradients"]
    assert live() - before == pytest.approx(wanted, rel=0.1), {n: b / 4 / found.parameters for n, b in states.items()}
    assert ema.decay == 0.9


def vace(size: str, clip: Bucket = CLIP, lora: LoraConfig | None = None, **changes: object) -> Estimate:
    """Estimate VACE on eight GPUs."""
    parallel = {"workers": 8, "gpus_per_worker": 1, **changes.pop("parallel", {})}  # type: ignore[dict-item]
    fit = FitConfig.model_validate({"batch": 8, "steps": 3600, "parallel": parallel, **changes})
    ray = RayConfig(cost=CostConfig(cpu_hour=0.1, gpu_hour=3.0))
    backbone = WanConfig(model=VACE.format(size))
    return estimate(TrainJob(store=StoreConfig(root="here"), backbone=backbone, fit=fit, ray=ray, lora=lora), clip)


def test_what_is_too_much_says_what_to_change_until_it_fits() -> None:
    large = vace("14B", checkpoint_activations=True)
    assert large.advice is not None
    assert "are most of it: set fit.parallel.zero_stage=3" in large.advice
    small = vace("1.3B")
    assert small.advice == "too little, activations are most of it: set fit.checkpoint_activations=true"
    assert vace("1.3B", checkpoint_activations=True).advice is None
    sharded = {"zero_stage": 3, "offload": "optimizer"}
    assert vace("14B", checkpoint_activations=True, parallel=sharded).advice is None
    assert vace("14B", checkpoint_activations=True, lora=LoraConfig(), parallel={"zero_stage": 3}).advice is None


def test_what_is_offloaded_moves_from_the_device_to_the_machine() -> None:
    places = ("none", "optimizer", "parameters")
    found = [vace("14B", parallel={"zero_stage": 3, "offload": place}, checkpoint_activations=True) for place in places]
    nothing, states, everything = found
    share = 4 * nothing.parameters / 8
    assert nothing.bytes - states.bytes == pytest.approx(4 * share)  # gradients, and the optimizer's three
    assert states.bytes - everything.bytes == pytest.approx(2 * share)  # weights and average
    assert everything.machine - states.machine == pytest.approx(8 * 2 * share)
    assert nothing.machine == 4 * nothing.parameters + 8 * 4 * 6 * 5120**2  # the average, and the largest tensor each
    assert vace("1.3B").machine == pytest.approx(4 * vace("1.3B").parameters, rel=0.1)


def test_time_and_cost_are_those_of_the_operations() -> None:
    found = vace("1.3B", checkpoint_activations=True)
    useful = 0.75 * found.flops  # recomputing is a fourth of four passes, and no part of MFU
    assert found.seconds_per_step == pytest.approx(useful / (8 * 0.4 * DEVICES["h200"].flops))
    assert found.hours == pytest.approx(found.seconds_per_step)
    assert found.cost == pytest.approx(found.hours * 8 * (3.0 + 2 * 0.1))
    assert vace("1.3B").flops == pytest.approx(useful)
    adapters = vace("1.3B", lora=LoraConfig(rank=8))
    assert adapters.flops == pytest.approx(useful * 2 / 3)
    assert adapters.trained == 2 * 45 * 4 * 8 * 2 * 1536  # 45 blocks attend twice, by four layers each


def distilled(clip: Bucket = CLIP, **changes: object) -> Estimate:
    """Estimate a student of VACE 1.3B on eight GPUs."""
    parallel = {"workers": 8, "gpus_per_worker": 1}
    fit = FitConfig.model_validate({"batch": 8, "steps": 10, "parallel": parallel, "checkpoint_activations": True})
    job = DistillJob(store=StoreConfig(root="here"), fit=fit, **changes)
    return estimate_distillation(job, WanConfig(model=VACE.format("1.3B")), clip)


def test_each_part_of_a_distillation_is_counted() -> None:
    alone, plain = vace("1.3B", checkpoint_activations=True), distilled()
    weights = alone.parameters
    assert plain.on_device["teacher"] == 4 * weights
    assert plain.bytes == pytest.approx(
        2 * alone.bytes - alone.on_device["average"] - alone.on_device["activations"] + 4 * weights
    )
    assert (plain.parameters, plain.trained) == (3 * weights, 2 * weights)
    assert plain.saved == 4 * weights  # of the student alone
    pass_ = alone.useful / 3
    assert plain.useful == pytest.approx(pass_ * (5 * 4 + 5))  # generate and train; train, and be judged by two

    head = distilled(gan=GanConfig(width=256))
    own = sum(p.numel() for p in Head([1536] * 3, 256).parameters())
    assert head.trained == plain.trained + own
    assert head.on_device["activations"] == 2 * plain.on_device["activations"]
    assert head.useful == pytest.approx(pass_ * (5 * 6 + 6))
    adapters = distilled(fake_lora=LoraConfig(rank=8))
    assert adapters.trained == weights + vace("1.3B", lora=LoraConfig(rank=8)).trained
    assert adapters.useful == pytest.approx(pass_ * (5 * 3 + 5))
    assert distilled(guidance=4.0).useful == pytest.approx(pass_ * (5 * 4 + 6))
    assert distilled(regression=RegressionConfig(steps=8)).useful == pytest.approx(pass_ * (5 * 4 + 5 + 8))
    assert distilled(student_steps=4).useful == pytest.approx(pass_ * (5 * (2.5 + 3) + 1.5 + 5))
    assert plain.flops == pytest.approx(pass_ * (5 * 5 + 6))  # what is computed again
    assert head.flops == pytest.approx(pass_ * (5 * 7 + 8))


def test_clips_or_batches_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match=r"fit.batch: got 9 clips for 8 workers with 1 micro-batches each, wanted"):
        vace("1.3B", batch=9)
    with pytest.raises(UsageError, match=r"backbone: got 80 frames, wanted 4 \* n \+ 1"):
        vace("1.3B", Bucket(frames=80, height=480, width=832))


def test_the_command_estimates_without_clips(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = ["plan", "tiny_train", "--clip", "16x64x64", "--device", "h100", "--mfu", "0.1"]
    assert main([*command, "--set", "store.root=/absent/store"]) == 0
    out = capsys.readouterr().out
    assert "weights, of which" in out
    assert "h100 has 80 GB: it fits" in out
    assert "on the assumption of 10% of the peak of h100" in out
    assert main(["plan", "tiny_render", "--clip", "16x64x64"]) == 2
    assert main(["plan", "tiny_distill", "--clip", "16x64x64", "--set", f"store.root={tmp_path}"]) == 2  # no teacher
    finish(open_store(StoreConfig(root=str(tmp_path))), "teacher", train_job(str(tmp_path), fit_config()))
    assert main(["plan", "tiny_distill", "--clip", "16x64x64", "--set", f"store.root={tmp_path}"]) == 0
    assert "teacher" in capsys.readouterr().out
    assert main(["plan", "tiny_train", "--clip", "16x64"]) == 2
    assert main(["plan", "tiny_train", "--clip", "16x64x64", "--mfu", "40"]) == 2
