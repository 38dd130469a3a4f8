"""What trains a module: DeepSpeed on a cluster, plain torch in one process."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from pipelines.fit_config import FitConfig, OptimizerConfig

_TAG = "state"


class Engine(Protocol):
    """A module with its optimizer. Calling it calls the module."""

    @property
    def module(self) -> nn.Module:
        """The module itself, for evaluation without gradients."""
        ...

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module."""
        ...

    def backward(self, loss: Tensor) -> object:
        """Compute gradients, averaged over the workers."""
        ...

    def step(self) -> None:
        """Clip the gradients, update the weights, forget the gradients."""
        ...


class PlainEngine:
    """One process, plain torch. The same numbers as DeepSpeed's engine up to rounding."""

    def __init__(self, module: nn.Module, config: OptimizerConfig, lr: float) -> None:
        self.module, self._clip = module, config.clip
        self._optimizer, self._schedule = make_optimizer(module, config, lr)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def step(self) -> None:
        nn.utils.clip_grad_norm_(self.module.parameters(), self._clip)
        self._optimizer.step()
        self._schedule.step()
        self._optimizer.zero_grad()


def make_optimizer(module: nn.Module, config: OptimizerConfig, lr: float) -> tuple[AdamW, LambdaLR]:
    """Return AdamW and its linear warm-up: step n of `warmup` runs at lr * (n + 1) / warmup."""
    optimizer = AdamW(module.parameters(), lr=lr, betas=config.betas, weight_decay=config.weight_decay)
    warmup = max(1, config.warmup)
    return optimizer, LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / warmup))


def make_plain(module: nn.Module, fit: FitConfig, lr: float) -> PlainEngine:
    """Return a plain engine."""
    return PlainEngine(module, fit.optimizer, lr)


MakeEngine = Callable[[nn.Module, FitConfig, float], Engine]
"""`make_plain` or `make_deepspeed`."""


def make_deepspeed(module: nn.Module, fit: FitConfig, lr: float) -> Engine:
    """Return a DeepSpeed engine in a process group that exists already (Ray Train's)."""
    # DeepSpeed decorates its Muon optimizer with torch.compile on import, which loads the whole compiler: 3 s on two
    # cores, for a function that is never called here.
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    # Otherwise DeepSpeed takes a GPU that it sees, even where this job trains on CPUs.
    os.environ.setdefault("DS_ACCELERATOR", "cuda" if fit.parallel.gpus_per_worker else "cpu")
    import deepspeed
    import deepspeed.ops

    # No compiled ops, and no look at which could be: DeepSpeed runs the compiler to find out, and would then spend a
    # minute of g++ on a shared-memory collective that serves inference only.
    deepspeed.ops.__compatible_ops__ = {}  # type: ignore[attr-defined]
    for parameter in module.parameters():  # DeepSpeed broadcasts weights as bytes, which wants plain strides
        parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
    optimizer, schedule = make_optimizer(module, fit.optimizer, lr)
    engine, *_ = deepspeed.initialize(
        model=module,
        optimizer=optimizer,
        lr_scheduler=schedule,  # type: ignore[arg-type]  # annotated with the class's name of older torch
        config=deepspeed_config(fit),
        dist_init_required=False,
    )
    return cast(Engine, engine)


def deepspeed_config(fit: FitConfig) -> dict[str, Any]:
    """Return DeepSpeed's settings for a job."""
    return {
        "train_batch_size": fit.batch,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": fit.optimizer.clip,
        "zero_optimization": {"stage": fit.parallel.zero_stage},
        # AdamW of torch on CPUs, too: DeepSpeed's own CPU Adam would have to be compiled first.
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        # Autocast keeps the weights in float32, which the moving average and the export want.
        "torch_autocast": {"enabled": fit.parallel.gpus_per_worker > 0, "dtype": "bfloat16"},
        "steps_per_print": 10**9,  # the board has the figures
    }


def save_engine(engine: Any, folder: Path) -> None:
    """Write this worker's part of a DeepSpeed engine's state. Every worker must call it."""
    engine.save_checkpoint(str(folder), tag=_TAG, save_latest=False)


def load_engine(engine: Any, folder: Path) -> None:
    """Read it back. Raises FileNotFoundError where there is none: DeepSpeed itself may go on without."""
    if not (folder / _TAG).is_dir():
        raise FileNotFoundError(f"no state of a DeepSpeed engine at {folder}")
    engine.load_checkpoint(str(folder), tag=_TAG)


def frozen(module: nn.Module, device: torch.device) -> Callable[..., Any]:
    """Return a function that runs a module without gradients, in bf16 on a GPU as an engine would."""

    @torch.no_grad()
    def call(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            return module(*args, **kwargs)

    return call
