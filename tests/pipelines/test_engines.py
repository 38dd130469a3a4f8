"""DeepSpeed's engine in one process: equal to plain torch in every ZeRO stage, bitwise equal after a reload."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed
from torch import nn

from pipelines.engines import Engine, load_engine, make_deepspeed, make_plain, save_engine
from pipelines.fit_config import FitConfig, ParallelConfig


@pytest.fixture(scope="module", autouse=True)
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A process group of one, as Ray Train makes them."""
    store = tmp_path_factory.mktemp("group") / "store"
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCAL_RANK", "0")
        yield
    torch.distributed.destroy_process_group()


def settings(stage: int) -> FitConfig:
    """A batch of four on one CPU."""
    return FitConfig(batch=4, parallel=ParallelConfig.model_validate({"zero_stage": stage, "cpus_per_worker": 1}))


def network() -> nn.Module:
    """A convolution whose weights are stored channels last, and a linear layer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.GELU(), nn.Flatten(), nn.Linear(8 * 16, 4))
    return net.to(memory_format=torch.channels_last)


def losses(engine: Engine, first: int, last: int) -> list[float]:
    """Train for some steps, each with data of its own."""
    values = []
    for step in range(first, last):
        x = torch.randn(4, 3, 4, 4, generator=torch.Generator().manual_seed(step))
        loss = (engine(x) - x.mean((2, 3)).sum(1, keepdim=True)).square().mean()
        engine.backward(loss)
        engine.step()
        values.append(loss.item())
    return values


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_every_stage_does_what_plain_torch_does(stage: int) -> None:
    fit = settings(stage)
    plain, deep = make_plain(network(), fit, 1e-2), make_deepspeed(network(), fit, 1e-2)
    assert losses(deep, 0, 12) == pytest.approx(losses(plain, 0, 12), rel=1e-4)


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_a_saved_engine_continues_bitwise(stage: int, tmp_path: Path) -> None:
    fit = settings(stage)
    whole, first, second = (make_deepspeed(network(), fit, 1e-2) for _ in range(3))
    wanted = losses(whole, 0, 9)
    assert losses(first, 0, 5) == wanted[:5]
    save_engine(first, tmp_path)
    load_engine(second, tmp_path)
    assert losses(second, 5, 9) == wanted[5:]
    for one, other in zip(whole.module.parameters(), second.module.parameters(), strict=True):
        assert torch.equal(one, other)


def test_an_absent_state_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no state of a DeepSpeed engine"):
        load_engine(make_deepspeed(network(), settings(1), 1e-2), tmp_path / "absent")
