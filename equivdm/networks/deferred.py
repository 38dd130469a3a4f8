"""Networks without memory for their weights, which wait in files: each is read on its own, to where it shall lie."""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

Reader = Callable[[], Tensor]
"""Returns a tensor on the CPU, perhaps mapped from a file, with which it would change, or fault: a copy is kept."""


def as_readers(tensors: Mapping[str, Tensor], prefix: str = "") -> dict[str, Reader]:
    """Return readers of tensors that are there, or mapped, with a prefix before their names."""
    return {prefix + name: _given(tensor) for name, tensor in tensors.items()}


def unread(module: nn.Module, readers: Mapping[str, Reader]) -> list[tuple[str, nn.Parameter, Reader]]:
    """Return the parameters that lie on the meta device, in the module's order, each with its name and its reader."""
    return [(name, each, readers[name]) for name, each in module.named_parameters() if each.is_meta]


def put(module: nn.Module, name: str, value: Tensor) -> nn.Parameter:
    """Put another parameter in the place of one, trained or frozen as that was, and return it."""
    owner, _, leaf = name.rpartition(".")
    place = module.get_submodule(owner)
    parameter = nn.Parameter(value, requires_grad=place.get_parameter(leaf).requires_grad)
    setattr(place, leaf, parameter)
    return parameter


def fill(module: nn.Module, readers: Mapping[str, Reader], device: torch.device | str) -> None:
    """Read what lies on the meta device to another, one by one, in the precision and strides that it has there."""
    for name, parameter, read in unread(module, readers):
        value = torch.empty_like(parameter, device=device, requires_grad=False)
        put(module, name, value.copy_(read()))


def whole_state(module: nn.Module, readers: Mapping[str, Reader]) -> Iterator[tuple[str, Tensor]]:
    """Yield all weights by name, in alphabetical order; those that wait are read one at a time, and not kept."""
    waiting = {name: (parameter.dtype, read) for name, parameter, read in unread(module, readers)}
    for name, value in sorted(module.state_dict().items()):
        if name in waiting:
            dtype, read = waiting[name]
            yield name, read().to(dtype)
        else:
            yield name, value


def _given(tensor: Tensor) -> Reader:
    return lambda: tensor
