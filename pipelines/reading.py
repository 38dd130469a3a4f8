"""Where a network's weights go as they are read: whole to each worker, or a part to each under DeepSpeed's ZeRO 3."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed
from torch import nn

from equivdm.backbones.base import DenoiserModule
from equivdm.backbones.deferred import materialise
from equivdm.networks.deferred import put, unread


def place(module: nn.Module, config: Mapping[str, Any], device: torch.device) -> None:
    """Bring a module to this worker's device, as DeepSpeed's settings want it; every worker must call it.

    Under ZeRO 3 a tensor that waits is whole on a worker for as long as it takes to send and to cut it; what does not
    wait is partitioned by DeepSpeed's engine.
    """
    if config["zero_optimization"]["stage"] == 3 and isinstance(module, DenoiserModule):
        _read_in_parts(module, config, device)
    materialise(module, device)


def _read_in_parts(denoiser: DenoiserModule, config: Mapping[str, Any], device: torch.device) -> None:
    """Have the first worker read the weights that wait, DeepSpeed send them, and each worker keep its part."""
    import deepspeed

    waiting = unread(denoiser, denoiser.readers)
    reads, partition = torch.distributed.get_rank() == 0, None
    # One for all, where the first worker's values are sent from and the others' arrive: many would leave holes.
    size = max((each.numel() * each.element_size() for _, each, _ in waiting), default=0)
    buffer = torch.empty(size, dtype=torch.uint8, device=device)
    for name, each, read in waiting:
        value = buffer[: each.numel() * each.element_size()].view(each.dtype).view(each.shape)
        if reads:
            value.copy_(read())
        parameter: Any = put(denoiser, name, value)
        if partition is None:
            deepspeed.zero.Init(module=nn.ParameterList([parameter]), config_dict_or_path=dict(config))
            partition = parameter.convert_to_zero_parameters
        else:
            partition(param_list=[parameter])
