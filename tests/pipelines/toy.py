"""A recipe of milliseconds that can be told to crash or to diverge."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from pipelines.engines import Engine
from pipelines.loader import share
from pipelines.loop import Part


@dataclass(frozen=True)
class Faults:
    """What goes wrong, and when."""

    crash_at: int | None = None
    """The process that does this step dies, once: `marker` remembers."""
    marker: str = ""
    diverge_at: int | None = None


@dataclass(frozen=True)
class Toy:
    """Fit a sine, with a second metric beside the loss."""

    parts: Mapping[str, Part]
    slots: range
    faults: Faults

    def batch(self, step: int) -> Tensor:
        whole = torch.randn(8, 16, generator=torch.Generator().manual_seed(step))
        return whole[self.slots.start : self.slots.stop]

    def update(self, engines: Mapping[str, Engine], batch: Tensor, step: int) -> dict[str, Tensor]:
        if step == self.faults.crash_at and not os.path.exists(self.faults.marker):
            Path(self.faults.marker).touch()
            os._exit(1)
        engine = engines["net"]
        loss = (engine(batch) - batch.sin()).square().mean()
        engine.backward(loss)
        engine.step()
        nan = torch.tensor(float("nan"))
        return {"loss": loss.detach(), "size": nan if step == self.faults.diverge_at else batch.abs().mean()}


def make_toy(faults: Faults, device: torch.device, rank: int, world: int, hidden: int = 32) -> Toy:
    """Return the recipe of one worker. ZeRO 3 keeps the weights of a net with few `hidden` units whole."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(16, hidden), nn.GELU(), nn.Linear(hidden, 16))
    return Toy({"net": Part(net, 0.32 / hidden)}, share(8, rank, world), faults)
