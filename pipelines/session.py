"""What a worker trains, and how far it is. It knows neither Ray nor which engine trains."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from equivdm.ema import Ema
from pipelines.engines import Engine, MakeEngine
from pipelines.fit_config import FitConfig
from pipelines.flops import peak_flops
from pipelines.frozen import MakeFrozen, freeze_plain
from pipelines.models import Figure
from pipelines.pace import Pace
from pipelines.partition import held

Run = Callable[..., Any]
"""Runs a module whose weights have no gradient."""


@dataclass(frozen=True)
class Part:
    """A module, and its learning rate after warm-up."""

    module: nn.Module
    """Its weights may be yet to be read (see `equivdm.backbones.deferred`)."""
    lr: float | None
    """None for one that is only run."""
    updates: int = 1
    """Optimizer steps to one step of the recipe."""


class Recipe(Protocol):
    """What is trained, and how. It knows neither Ray nor DeepSpeed."""

    @property
    def parts(self) -> Mapping[str, Part]:
        """The modules. Those that are trained get an engine each; the first is averaged and exported."""
        ...

    def batch(self, step: int) -> Any:
        """Return what `update` needs for a step, on the CPU. Called in a thread, ahead of time."""
        ...

    def replaced(self, batch: Any) -> Sequence[str]:
        """Return for each sample of a batch whose clip cannot be read, and for which another stands in, the reason."""
        ...

    def flops(self, batch: Any) -> float:
        """Return the model FLOPs of a step on this worker."""
        ...

    def update(
        self, engines: Mapping[str, Engine], frozen: Mapping[str, Run], batch: Any, step: int
    ) -> dict[str, Tensor]:
        """Do one step and return its metrics, each a scalar without gradient. `frozen` run what is not trained."""
        ...


MakeRecipe = Callable[[torch.device, int, int], Recipe]
"""(device, rank, number of workers) -> recipe."""


@dataclass
class Session:
    """A worker's state. `step` to `pending`, the engines and the average make a checkpoint."""

    recipe: Recipe
    fit: FitConfig
    device: torch.device
    engines: Mapping[str, Engine]
    ema: Ema
    frozen: Mapping[str, Run] = field(default_factory=dict)
    """Run the parts that are not trained."""
    step: int = 0
    """Steps done."""
    history: list[Figure] = field(default_factory=list)
    speeds: list[Figure] = field(default_factory=list)
    """As in the outcome."""
    pending: list[dict[str, float]] = field(default_factory=list)
    """Metrics of the steps since the last report, mean over the workers."""
    local: list[dict[str, Tensor]] = field(default_factory=list)
    """Metrics of the latest steps, of this worker alone; they are fetched from the device as late as possible."""
    pace: Pace = field(default_factory=Pace)
    bad_clips: list[str] = field(default_factory=list)
    """What is wrong with clips that this worker replaced since the last report."""
    peak: float | None = None
    """Peak FLOP/s of the device, where it is known."""
    saved: int = 0
    """Steps of the latest checkpoint; 0 where there is none."""

    @property
    def main(self) -> nn.Module:
        """The module that is averaged and exported."""
        return next(iter(self.engines.values())).module


def set_up(
    recipe: Recipe,
    fit: FitConfig,
    device: torch.device,
    make_engine: MakeEngine,
    make_frozen: MakeFrozen = freeze_plain,
) -> Session:
    """Return a session at step 0."""
    engines, frozen = dict[str, Engine](), dict[str, Run]()
    for name, part in recipe.parts.items():
        if part.lr is None:
            frozen[name] = make_frozen(part.module, fit, device)
        else:
            engines[name] = make_engine(part.module, fit, part.lr, part.updates, device)
    ema = Ema(held(next(iter(engines.values())).module), fit.ema)
    return Session(recipe, fit, device, engines, ema, frozen, peak=peak_flops(device))
