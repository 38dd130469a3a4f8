"""Weights as a worker holds them: whole, or its part of each where DeepSpeed's ZeRO 3 partitions them.

ZeRO 3 cuts each parameter, flattened, into one part a worker, all of equal size; the last is padded.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn


def held(module: nn.Module) -> dict[str, Tensor]:
    """Return what is trained, and buffers, by name, without copying: each whole, or this worker's flat part of it."""
    frozen = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
    parts = module.state_dict() | {name: parameter.ds_tensor for name, parameter in _partitioned(module).items()}
    return {name: part for name, part in parts.items() if name not in frozen}


def is_adapted(module: nn.Module) -> bool:
    """Whether some of the weights are frozen, so that what is trained is less than the module."""
    return not all(parameter.requires_grad for parameter in module.parameters())


def whole(module: nn.Module, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put together what every worker holds as `held` does, such as a moving average; every worker must call it.

    The first worker gets all of it, and what was partitioned on the CPU: one tensor at a time is whole on a device.
    The others get what is not partitioned.
    """
    partitioned = _partitioned(module)
    gathered = ((name, _gathered(part, partitioned.get(name))) for name, part in parts.items())
    return {name: value for name, value in gathered if value is not None}


def share(module: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return of whole tensors what this worker holds; the opposite of `whole`."""
    partitioned = _partitioned(module)
    return {name: _part(value, partitioned[name]) if name in partitioned else value for name, value in tensors.items()}


def _partitioned(module: nn.Module) -> dict[str, Any]:
    named = module.named_parameters(remove_duplicate=False)
    return {name: parameter for name, parameter in named if hasattr(parameter, "ds_tensor")}


def _gathered(part: Tensor, parameter: Any) -> Tensor | None:
    if parameter is None:
        return part
    first = torch.distributed.get_rank() == 0
    part = part.to(parameter.device).contiguous()  # where the workers talk: an offloaded part lies elsewhere
    parts = [torch.empty_like(part) for _ in range(torch.distributed.get_world_size())] if first else None
    torch.distributed.gather(part, parts)
    return torch.cat(parts)[: parameter.ds_numel].view(parameter.ds_shape).cpu() if parts else None


def _part(value: Tensor, parameter: Any) -> Tensor:
    size = parameter.ds_tensor.numel()
    start = torch.distributed.get_rank() * size
    part = value.flatten()[start : start + size]
    return torch.cat([part, part.new_zeros(size - part.numel())])
