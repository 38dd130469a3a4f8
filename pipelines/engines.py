"""What trains a module: DeepSpeed on a cluster, plain torch in one process."""

from collections.abc import Callable, Sequence
from math import cos, pi
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from equivdm.backbones.deferred import materialise
from pipelines.data_only import data_only
from pipelines.fit_config import FitConfig, OptimizerConfig
from pipelines.partition import held, is_adapted
from pipelines.reading import place
from pipelines.zero import deepspeed_config, import_deepspeed

STATE = "state"
"""Folder or file of an engine's state."""

CPU = torch.device("cpu")

Part = TypeVar("Part")


class Engine(Protocol):
    """A module with its optimizer. Calling it calls the module."""

    accumulate: int
    """Micro-batches of a step."""

    @property
    def module(self) -> nn.Module:
        """The module itself, for evaluation without gradients."""
        ...

    @property
    def rate(self) -> float:
        """Learning rate of the step to come."""
        ...

    @property
    def gradient_norm(self) -> Tensor:
        """Norm of the latest step's gradient over all weights, before it was clipped; a scalar."""
        ...

    @property
    def skipped(self) -> int:
        """Steps so far whose gradient was not finite: they changed neither weights, nor optimizer, nor learning rate.
        The same on all workers."""
        ...

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module."""
        ...

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a micro-batch's loss, averaged over micro-batches and workers."""
        ...

    def step(self) -> None:
        """After a step's last micro-batch: clip the gradients, update the weights, forget the gradients."""
        ...

    def save(self, folder: Path) -> None:
        """Write this worker's part of the state. Every worker must call it."""
        ...

    def load(self, folder: Path) -> None:
        """Read it back, into an engine that has done no step.

        Raises FileNotFoundError where there is none, pickle.UnpicklingError where it is more than data.
        """
        ...


def descend(engine: Engine, parts: Sequence[Part], loss_of: Callable[[Part], Tensor]) -> Tensor:
    """Do one optimizer step on micro-batches of equal size. Returns the mean of their losses, without gradient.

    A step with a loss that is not finite, on any worker and in any micro-batch, is skipped on all of them.
    """
    losses = []
    for part in parts:
        loss = loss_of(part)
        # Such a loss makes every gradient NaN, also where its own happens to be a number, so that the norm, which
        # the workers have in common, tells them all; a finite one is multiplied by 1.
        engine.backward(loss * (1 + 0 * loss.detach()))
        engine.step()
        losses.append(loss.detach())
    return torch.stack(losses).mean()


class SkippingAdamW(AdamW):
    """AdamW whose step can be left out."""

    overflow = False
    """Whether the step to come is left out; the name by which DeepSpeed asks whether to leave the schedule's out."""

    def step(self, closure: Any = None) -> Any:
        """Do a step, unless it is left out."""
        return None if self.overflow else super().step(closure)


class PlainEngine:
    """One process, plain torch. The same numbers as DeepSpeed's engine up to rounding."""

    def __init__(self, module: nn.Module, fit: FitConfig, lr: float, updates: int = 1) -> None:
        self.module, self.accumulate, self._clip = module, fit.accumulate, fit.optimizer.clip
        self._optimizer, self._schedule = make_optimizer(module, fit, lr, updates)
        self._micro_batches, self.skipped = 0, 0
        self.gradient_norm = torch.zeros(())

    @property
    def rate(self) -> float:
        return float(self._schedule.get_last_lr()[0])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def backward(self, loss: Tensor) -> None:
        (loss / self.accumulate).backward()

    def step(self) -> None:
        self._micro_batches += 1
        if self._micro_batches % self.accumulate:
            return
        self.gradient_norm = nn.utils.clip_grad_norm_(self.module.parameters(), self._clip)
        if self.gradient_norm.isfinite():
            self._optimizer.step()
            self._schedule.step()
        else:
            self.skipped += 1
        self._optimizer.zero_grad()

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        torch.save([held(self.module), self._optimizer.state_dict(), self._schedule.state_dict()], folder / STATE)

    def load(self, folder: Path) -> None:
        weights, optimizer, schedule = torch.load(folder / STATE, weights_only=True)
        self.module.load_state_dict(weights, strict=not is_adapted(self.module))
        self._optimizer.load_state_dict(optimizer)
        self._schedule.load_state_dict(schedule)


def make_optimizer(
    module: nn.Module, fit: FitConfig, lr: float, updates: int, kind: type[AdamW] = AdamW
) -> tuple[AdamW, LambdaLR]:
    """Return AdamW and its schedule, of an optimizer that does `updates` steps to one of the job."""
    config = fit.optimizer
    optimizer = kind(module.parameters(), lr=lr, betas=config.betas, weight_decay=config.weight_decay)
    last = fit.steps * updates - 1
    return optimizer, LambdaLR(optimizer, lambda step: rate_share(config, step, last))


def rate_share(config: OptimizerConfig, step: int, last: int) -> float:
    """Return the learning rate of an optimizer's step as a share of `lr`: step n of `warmup` has (n + 1) / warmup.

    `step` and `last`, the last one, are counted from 0. After warm-up a cosine falls to its floor, which it reaches
    in the last step: floor + (1 - floor) (1 + cos(pi s)) / 2 where s of the way is done.
    """
    peak = max(config.warmup, 1) - 1
    if step <= peak or config.schedule == "constant":
        return min(1.0, (step + 1) / (peak + 1))
    way = min(1.0, (step - peak) / (last - peak)) if last > peak else 1.0
    return config.lr_floor + (1 - config.lr_floor) * (1 + cos(pi * way)) / 2


def make_plain(module: nn.Module, fit: FitConfig, lr: float, updates: int = 1, device: torch.device = CPU) -> Engine:
    """Return a plain engine."""
    return PlainEngine(materialise(module, device), fit, lr, updates)


MakeEngine = Callable[[nn.Module, FitConfig, float, int, torch.device], Engine]
"""(module, settings, learning rate, optimizer steps to one of the job, device): `make_plain` or `make_deepspeed`.

The module's weights may be yet to be read."""


class DeepSpeedEngine:
    """A DeepSpeed engine, under the names of ours."""

    def __init__(self, engine: Any) -> None:
        self._engine, self.accumulate = engine, int(engine.gradient_accumulation_steps())
        self._norm = torch.zeros(())

    @property
    def module(self) -> nn.Module:
        return self._engine.module

    @property
    def rate(self) -> float:
        return self._engine.get_lr()[0]

    @property
    def gradient_norm(self) -> Tensor:
        return self._norm

    @property
    def skipped(self) -> int:
        return int(self._engine.skipped_steps)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._engine(*args, **kwargs)

    def backward(self, loss: Tensor) -> None:
        self._engine.backward(loss)

    def step(self) -> None:
        last, sharded = self._engine.is_gradient_accumulation_boundary(), self._engine.zero_optimization()
        if last and not sharded:  # nothing but ZeRO keeps the norm, and leaves a step out by it
            self._norm = nn.utils.get_total_norm([p.grad for p in self.module.parameters() if p.grad is not None])
            self._engine.optimizer.overflow = not self._norm.isfinite()
        self._engine.step()
        if last and sharded:
            self._norm = torch.as_tensor(self._engine.get_global_grad_norm())

    def save(self, folder: Path) -> None:
        self._engine.save_checkpoint(str(folder), tag=STATE, save_latest=False, exclude_frozen_parameters=True)

    def load(self, folder: Path) -> None:
        if not (folder / STATE).is_dir():  # DeepSpeed itself may go on without
            raise FileNotFoundError(f"no state of a DeepSpeed engine at {folder}")
        with data_only():
            self._engine.load_checkpoint(str(folder), tag=STATE, load_module_strict=not is_adapted(self.module))


def make_deepspeed(
    module: nn.Module,
    fit: FitConfig,
    lr: float,
    updates: int = 1,
    device: torch.device = CPU,
    *,
    universal: bool = False,
) -> Engine:
    """Return a DeepSpeed engine in a process group that exists already (Ray Train's).

    A `universal` one loads what `pipelines.reshard` makes, and saves as the others do.
    """
    deepspeed = import_deepspeed(fit)
    config = deepspeed_config(fit) | {"checkpoint": {"load_universal": universal}}
    place(module, config, device)
    for parameter in module.parameters():  # DeepSpeed broadcasts weights as bytes, which wants plain strides
        parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
    kind = AdamW if fit.parallel.zero_stage else SkippingAdamW  # ZeRO leaves a step out by itself
    optimizer, schedule = make_optimizer(module, fit, lr, updates, kind)
    engine, *_ = deepspeed.initialize(
        model=module,
        optimizer=optimizer,
        lr_scheduler=schedule,  # type: ignore[arg-type]  # annotated with the class's name of older torch
        config=config,
        dist_init_required=False,
    )
    return DeepSpeedEngine(engine)


def running(module: nn.Module, device: torch.device) -> Callable[..., Any]:
    """Return a function that runs a module, in bf16 on a GPU as an engine would."""

    def call(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            return module(*args, **kwargs)

    return call


def frozen(module: nn.Module, device: torch.device) -> Callable[..., Any]:
    """Return a function that does so without gradients."""
    return torch.no_grad()(running(module, device))
