"""Denoisers whose weights are yet to be read: copied, adapted, partitioned or given others before any is.

Such a one has its weights on torch's meta device, and `readers` for them. Whoever uses it materialises it first.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

from equivdm.backbones.base import DenoiserModule
from equivdm.networks.deferred import Reader, as_readers, fill, put, unread

Module = TypeVar("Module", bound=nn.Module)


def materialise(module: Module, device: torch.device | str) -> Module:
    """Return a module on a device, with its weights: those that wait are read there, one at a time."""
    if isinstance(module, DenoiserModule):
        fill(module, module.readers, device)
        module.readers = {}
    return module.to(device)


def give(denoiser: DenoiserModule, weights: Mapping[str, Tensor]) -> None:
    """Set weights by name; of those that wait these will be read. Raises ValueError for names that it does not have."""
    if unknown := sorted(weights.keys() - denoiser.state_dict().keys()):
        raise ValueError(f"got weights of another network ({', '.join(unknown[:3])}): give it its own")
    waiting = {name for name, *_ in unread(denoiser, denoiser.readers)}
    denoiser.load_state_dict({name: each for name, each in weights.items() if name not in waiting}, strict=False)
    denoiser.readers = {**denoiser.readers, **as_readers(weights)}


@contextmanager
def standing_in(denoiser: DenoiserModule) -> Iterator[None]:
    """Let weights that wait be zeros of no size meanwhile, for libraries that ask for a weight's device.

    Such a library may wrap the parts of the network, and so rename its weights.
    """
    waiting: dict[int, Reader] = {}
    for name, parameter, read in unread(denoiser, denoiser.readers):
        zeros = torch.zeros((), dtype=parameter.dtype).expand(parameter.shape)
        waiting[id(put(denoiser, name, zeros))] = read
    yield
    places = [(name, each) for name, each in denoiser.named_parameters() if id(each) in waiting]
    denoiser.readers = {name: waiting[id(each)] for name, each in places}
    for name, each in places:
        put(denoiser, name, torch.empty(each.shape, dtype=each.dtype, device="meta"))
