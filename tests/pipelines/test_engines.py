"""DeepSpeed's engine in one process: equal to plain torch in every ZeRO stage, bitwise equal after a reload."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from equivdm.backbones import backbone_of
from equivdm.backbones.base import Conditions
from equivdm.config import LoraConfig, TinyConfig
from pipelines.distill_config import GanConfig, RegressionConfig
from pipelines.distill_recipe import make_recipe
from pipelines.engines import Engine, MakeEngine, descend, make_deepspeed, make_plain
from pipelines.fit_config import FitConfig, OptimizerConfig, ParallelConfig
from pipelines.frozen import freeze_deepspeed, freeze_plain
from pipelines.loop import run
from pipelines.partition import held, share, whole
from pipelines.reshard import universal
from pipelines.session import set_up
from pipelines.settings import StoreConfig
from pipelines.store import open_store
from tests.pipelines.fit_cases import distill_job, fit_config, train_job, write_clips
from tests.pipelines.test_models import finish

pytestmark = pytest.mark.usefixtures("group")

WIDE = TinyConfig(width=128, depth=2, heads=2, patch=4)
"""A network with weights too large for ZeRO 3 to keep whole."""


def settings(stage: int = 1, offload: str = "none") -> FitConfig:
    """A batch of four on one CPU."""
    parallel = {"zero_stage": stage, "offload": offload, "cpus_per_worker": 1}
    return FitConfig(batch=4, parallel=ParallelConfig.model_validate(parallel))


def network() -> nn.Module:
    """A convolution whose weights are stored channels last, and a linear layer too large for ZeRO 3 to keep whole."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.GELU(), nn.Flatten(), nn.Linear(8 * 16, 1024), nn.Linear(1024, 4))
    return net.to(memory_format=torch.channels_last)


def with_stage(
    stage: int,
    module: nn.Module,
    fit: FitConfig,
    lr: float,
    updates: int,
    *device: torch.device,
    offload: str = "none",
    universal: bool = False,
) -> Engine:
    """Return a DeepSpeed engine of a ZeRO stage."""
    return make_deepspeed(module, at_stage(stage, fit, offload), lr, updates, *device, universal=universal)


def freeze_at(stage: int, module: nn.Module, fit: FitConfig, device: torch.device) -> Callable[..., Any]:
    """Return what runs a frozen module in a ZeRO stage."""
    call = freeze_deepspeed(module, at_stage(stage, fit), device)
    assert all(hasattr(each, "ds_tensor") == (stage == 3) for each in module.parameters())
    return call


def at_stage(stage: int, fit: FitConfig, offload: str = "none") -> FitConfig:
    """Settings with another ZeRO stage."""
    changes = {"zero_stage": stage, "offload": offload}
    return fit.model_copy(update={"parallel": fit.parallel.model_copy(update=changes)})


EVERY: list[MakeEngine] = [make_plain, *(partial(with_stage, stage) for stage in (0, 1, 2, 3))]


def sample(step: int) -> torch.Tensor:
    """The data of a step."""
    return torch.randn(4, 3, 4, 4, generator=torch.Generator().manual_seed(step))


def miss(engine: Engine, x: torch.Tensor) -> torch.Tensor:
    """The loss."""
    return (engine(x) - x.mean((2, 3)).sum(1, keepdim=True)).square().mean()


def losses(engine: Engine, first: int, last: int) -> list[float]:
    """Train for some steps, each with data of its own."""
    parts = (sample(step).chunk(engine.accumulate) for step in range(first, last))
    return [descend(engine, each, partial(miss, engine)).item() for each in parts]


@pytest.mark.parametrize(
    ("stage", "offload"),
    [(0, "none"), *((stage, place) for stage in (1, 2, 3) for place in ("none", "optimizer")), (3, "parameters")],
)
def test_every_stage_does_what_plain_torch_does(stage: int, offload: str) -> None:
    fit = settings(stage, offload)
    plain, deep = make_plain(network(), fit, 1e-2), make_deepspeed(network(), fit, 1e-2)
    assert losses(deep, 0, 12) == pytest.approx(losses(plain, 0, 12), rel=1e-4)


@pytest.mark.parametrize("make", EVERY)
def test_micro_batches_change_rounding_only(make: MakeEngine) -> None:
    first, second = (make(network(), settings().model_copy(update={"accumulate": n}), 1e-2, 1) for n in (1, 4))
    for step in range(6):
        x = sample(step)
        loss = descend(first, [x], partial(miss, first))
        assert descend(second, x.chunk(4), partial(miss, second)).item() == pytest.approx(loss.item(), rel=1e-5)
        assert second.gradient_norm.item() == pytest.approx(first.gradient_norm.item(), rel=1e-4)
        assert second.rate == first.rate
    for one, other in zip(held(first.module).values(), held(second.module).values(), strict=True):
        assert (one - other).norm() < 1e-3 * one.norm()


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_the_norm_is_that_of_the_gradient_before_clipping(stage: int) -> None:
    fit = settings(stage).model_copy(update={"optimizer": OptimizerConfig(clip=0.01)})
    plain, deep = make_plain(network(), fit, 1e-2), make_deepspeed(network(), fit, 1e-2)
    for step in range(3):
        for engine in (plain, deep):
            descend(engine, [sample(step)], partial(miss, engine))
        assert deep.gradient_norm.item() == pytest.approx(plain.gradient_norm.item(), rel=1e-4)
        assert plain.gradient_norm > 0.02


@pytest.mark.parametrize("make", [*EVERY, partial(with_stage, 3, offload="parameters")])
def test_a_saved_engine_continues_bitwise(make: MakeEngine, tmp_path: Path) -> None:
    through, first, second = (make(network(), settings(), 1e-2, 1) for _ in range(3))
    wanted = losses(through, 0, 9)
    assert losses(first, 0, 5) == wanted[:5]
    first.save(tmp_path / "net")
    second.load(tmp_path / "net")
    assert losses(second, 5, 9) == wanted[5:]
    for one, other in zip(held(through.module).values(), held(second.module).values(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("spoil", ["loss", "gradient"])
@pytest.mark.parametrize(
    ("stage", "offload"),
    [(None, "none"), (0, "none"), *((s, o) for s in (1, 2, 3) for o in ("none", "optimizer")), (3, "parameters")],
)
def test_an_update_that_is_no_number_leaves_everything_as_it_was(stage: int | None, offload: str, spoil: str) -> None:
    fit = settings(stage or 0, offload).model_copy(update={"accumulate": 2})
    make = make_plain if stage is None else make_deepspeed
    spoiled, other = (make(network(), fit, 1e-2) for _ in range(2))
    for engine in (spoiled, other):
        losses(engine, 0, 3)
    before = {name: value.clone() for name, value in held(spoiled.module).items()}
    rate = spoiled.rate

    def miss_badly(x: torch.Tensor) -> torch.Tensor:
        # A loss whose gradient is a number all the same, or a gradient that overflows, in one of the micro-batches.
        loss = miss(spoiled, x)
        if x is not parts[1]:
            return loss
        return loss + math.nan if spoil == "loss" else loss * 1e38 * 1e38

    parts = sample(3).chunk(2)
    descend(spoiled, parts, miss_badly)
    assert (spoiled.skipped, other.skipped, spoiled.rate) == (1, 0, rate)
    assert not spoiled.gradient_norm.isfinite()
    assert all(torch.equal(value, before[name]) for name, value in held(spoiled.module).items())
    assert losses(spoiled, 4, 7) == losses(other, 4, 7)


@pytest.mark.parametrize(
    ("before", "now", "offload"),
    [
        (1, 1, "none"),
        (2, 1, "optimizer"),
        (1, 3, "none"),
        (1, 3, "optimizer"),
        (1, 3, "parameters"),
        (3, 2, "none"),
        (3, 2, "optimizer"),
    ],
)
def test_a_converted_state_continues_in_any_stage(before: int, now: int, offload: str, tmp_path: Path) -> None:
    store = open_store(StoreConfig(root=str(tmp_path / "store")))
    first = make_deepspeed(network(), settings(before), 1e-2)
    second = make_deepspeed(network(), settings(now, offload), 1e-2, universal=True)
    wanted = losses(make_plain(network(), settings(), 1e-2), 0, 9)
    assert losses(first, 0, 5) == pytest.approx(wanted[:5], rel=1e-4)
    first.save(tmp_path / "net")
    for _ in range(2):  # the second time it is there already
        with universal(store, "converted", tmp_path, ["net"]) as folder:
            stamps = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    second.load(folder / "net")
    assert stamps == {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    assert second.rate == first.rate
    assert losses(second, 5, 9) == pytest.approx(wanted[5:], rel=1e-4)


@pytest.mark.parametrize("stage", [1, 3])
def test_activations_are_computed_again_where_weights_are_partitioned_too(stage: int) -> None:
    found, conditions = [], Conditions(torch.ones(2, 16, dtype=torch.int64), torch.zeros(2, 2, 16, 16), torch.ones(2))

    def size(engine: Engine, x: torch.Tensor) -> torch.Tensor:
        return engine(x, torch.full((2,), 0.5), conditions).square().mean()

    for recompute in (False, True):
        denoiser = backbone_of(WIDE).build_denoiser(seed=0)
        denoiser.recompute = recompute
        engine = make_deepspeed(denoiser, settings(stage), 1e-2)
        for step in range(3):
            x = torch.randn(2, 3, 2, 8, 8, generator=torch.Generator().manual_seed(step))
            descend(engine, [x], partial(size, engine))
        found.append(whole(engine.module, held(engine.module)))
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


EVERYTHING: dict[str, Any] = {
    "student_steps": 2,
    "guidance": 2.0,
    "fake_lora": LoraConfig(rank=2),
    "gan": GanConfig(weight=0.5, width=1024),
}
"""Of a distillation, but for the regression; the head is too large for ZeRO 3 to keep whole."""


@pytest.mark.parametrize(
    ("stage", "options"),
    [
        (1, {"regression": RegressionConfig(steps=2)}),
        pytest.param(2, {"guidance": 2.0, "gan": GanConfig(weight=0.5, width=8)}, marks=pytest.mark.slow),
        (3, EVERYTHING),
    ],
)
def test_a_student_is_distilled_alike_in_every_stage(stage: int, options: dict[str, Any], tmp_path: Path) -> None:
    # Engines that also run without gradients, between their own steps, and a teacher that gradients go through; where
    # weights are partitioned, these are put together once more for activations that are computed again.
    wide = train_job(str(tmp_path), fit_config()).model_copy(update={"backbone": WIDE})
    store = open_store(wide.store)
    keys, teacher, found = write_clips(store), finish(store, "teacher", wide, spread=0.05), []
    for make, parts in ((make_plain, 1), (partial(with_stage, stage), 2)):
        again = parts > 1 and stage == 3
        fit = fit_config(steps=3, report_every=1, accumulate=parts, checkpoint_activations=again)
        job = distill_job(str(tmp_path), fit, **options)
        recipe = make_recipe(job, store, teacher, keys, torch.device("cpu"), 0, 1)
        stage_of = partial(freeze_at, stage) if parts > 1 else freeze_plain
        session = set_up(recipe, fit, torch.device("cpu"), make, stage_of)
        run(session)
        found.append([figure.value for figure in session.history])
    assert found[1] == pytest.approx(found[0], rel=1e-3)


def test_offloading_wants_a_stage() -> None:
    with pytest.raises(ValueError, match="offload: got optimizer with zero_stage=0, wanted a ZeRO stage"):
        settings(0, "optimizer")
    with pytest.raises(ValueError, match="offload: got parameters with zero_stage=2, wanted 3, which alone partitions"):
        settings(2, "parameters")


@pytest.mark.parametrize("stage", [2, 3])
def test_what_workers_hold_is_put_together_and_shared_out_again(stage: int) -> None:
    plain, deep = make_plain(network(), settings(), 1e-2), make_deepspeed(network(), settings(stage), 1e-2)
    for engine in (plain, deep):
        losses(engine, 0, 3)
    parts = held(deep.module)
    assert all((part.dim() == 1) >= (stage == 3) for part in parts.values())
    tensors = whole(deep.module, parts)
    for name, value in plain.module.state_dict().items():
        assert tensors[name].shape == value.shape
        assert (tensors[name] - value).norm() < 1e-3 * value.norm()
    again = share(deep.module, tensors)
    assert all(torch.equal(again[name], part) for name, part in parts.items())


def test_an_absent_state_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no state of a DeepSpeed engine"):
        make_deepspeed(network(), settings(1), 1e-2).load(tmp_path / "absent")
