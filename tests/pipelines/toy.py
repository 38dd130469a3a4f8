"""A recipe of milliseconds that can be told to crash, to diverge, or to be told to end."""

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from pipelines.engines import Engine, descend
from pipelines.loader import share
from pipelines.session import Part, Run


@dataclass(frozen=True)
class Faults:
    """What goes wrong, and when."""

    crash_at: int | None = None
    """The process that does this step dies, once: `marker` remembers."""
    terminate_at: int | None = None
    """The last worker's process gets SIGTERM in this step, once likewise."""
    marker: str = ""
    diverge_at: int | None = None
    """A metric beside the loss is NaN in this step."""
    spoiled: tuple[int, ...] = ()
    """The last worker's loss is NaN in these steps."""
    seconds: float = 0.0
    """Of a step."""
    diary: str = ""
    """File to which the last worker adds the number of each step."""

    def spoils(self, step: int, last: bool) -> bool:
        """Whether the loss of this step is to be NaN, on the last worker."""
        return step in self.spoiled and last

    def strike(self, step: int, last: bool) -> None:
        """Do what goes wrong with a process in a step; `last` says that it is the last worker's."""
        time.sleep(self.seconds)
        if self.diary and last:
            with Path(self.diary).open("a") as stream:
                stream.write(f"{step}\n")
        crashes, terminates = step == self.crash_at, step == self.terminate_at and last
        if not (crashes or terminates) or os.path.exists(self.marker):
            return
        Path(self.marker).touch()
        if crashes:
            os._exit(1)
        os.kill(os.getpid(), signal.SIGTERM)


@dataclass(frozen=True)
class Toy:
    """Fit a sine, with a second metric beside the loss."""

    parts: Mapping[str, Part]
    slots: range
    faults: Faults

    def batch(self, step: int) -> Tensor:
        whole = torch.randn(8, 16, generator=torch.Generator().manual_seed(step))
        return whole[self.slots.start : self.slots.stop]

    def replaced(self, batch: Tensor) -> tuple[str, ...]:
        """No sample is anything but what it should be."""
        del batch
        return ()

    def flops(self, batch: Tensor) -> float:
        """Multiplications and additions of two layers, forward and backward."""
        weights = sum(value.numel() for value in self.parts["net"].module.parameters() if value.dim() > 1)
        return 6.0 * weights * len(batch)

    def update(
        self, engines: Mapping[str, Engine], frozen: Mapping[str, Run], batch: Tensor, step: int
    ) -> dict[str, Tensor]:
        self.faults.strike(step, last=self.slots.stop == 8)
        engine, nan = engines["net"], torch.tensor(float("nan"))

        def miss(part: Tensor) -> Tensor:
            loss = (engine(part) - part.sin()).square().mean()
            return loss * nan if self.faults.spoils(step, last=self.slots.stop == 8) else loss

        loss = descend(engine, batch.chunk(engine.accumulate), miss)
        return {"loss": loss, "size": nan if step == self.faults.diverge_at else batch.abs().mean()}


def make_toy(faults: Faults, device: torch.device, rank: int, world: int, hidden: int = 32) -> Toy:
    """Return the recipe of one worker. ZeRO 3 keeps the weights of a net with few `hidden` units whole."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(16, hidden), nn.GELU(), nn.Linear(hidden, 16))
    return Toy({"net": Part(net, 0.32 / hidden)}, share(8, rank, world), faults)
