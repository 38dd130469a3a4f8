"""Networks that are only run, such as a teacher: whole on each worker, or partitioned like those that are trained."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from equivdm.backbones.deferred import materialise
from pipelines.engines import running
from pipelines.fit_config import FitConfig
from pipelines.reading import place
from pipelines.zero import deepspeed_config, import_deepspeed

MakeFrozen = Callable[[nn.Module, FitConfig, torch.device], Callable[..., Any]]
"""(module, settings, device): `freeze_plain` or `freeze_deepspeed`. The module's weights may be yet to be read.

Its weights have no gradient. Where an input has one, it goes through."""


def freeze_plain(module: nn.Module, fit: FitConfig, device: torch.device) -> Callable[..., Any]:
    """Return what runs a module, whole on this worker."""
    del fit
    return running(materialise(module, device), device)


def freeze_deepspeed(module: nn.Module, fit: FitConfig, device: torch.device) -> Callable[..., Any]:
    """Return what runs a module, partitioned under ZeRO 3: every worker must run it then, and go back through it."""
    if fit.parallel.zero_stage < 3:
        return freeze_plain(module, fit, device)
    deepspeed, config = import_deepspeed(fit), deepspeed_config(fit)
    config["zero_optimization"].pop("offload_optimizer", None)
    place(module, config, device)
    engine, *_ = deepspeed.initialize(model=module, config=config, dist_init_required=False)
    return partial(_run, engine, running(module, device))


def _run(engine: Any, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call what runs an engine's module; the engine gathers the weights for as long as it is referred to."""
    del engine
    return call(*args, **kwargs)
