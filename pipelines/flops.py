"""How much of a GPU's arithmetic a training uses: model FLOPs, counted without memory, over the device's peak."""

from copy import deepcopy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from equivdm.backbones.base import DenoiserModule
from pipelines.devices import named_peak
from pipelines.loader import Batch


def peak_flops(device: torch.device) -> float | None:
    """Return a device's peak FLOP/s in bf16; None where it is not known, as of a CPU."""
    return named_peak(torch.cuda.get_device_name(device)) if device.type == "cuda" else None


class ForwardFlops:
    """FLOPs of a denoiser's forward pass, by the shape of its latents.

    A backward pass counts twice as much (Chowdhery et al., PaLM, appendix B); activations that are computed again do
    not count.
    """

    def __init__(self, module: nn.Module) -> None:
        """Take a module without its memory; it must be no engine's yet, which would leave hooks in it."""
        tensors = [*module.parameters(), *module.buffers()]
        bare = {id(each): torch.empty_like(each, device="meta") for each in tensors}
        parameters = {id(each): nn.Parameter(bare[id(each)], requires_grad=False) for each in module.parameters()}
        self._module = deepcopy(module, bare | parameters)
        if isinstance(self._module, DenoiserModule):
            self._module.readers = {}  # or their files would stay open
        self._counted: dict[torch.Size, int] = {}

    def __call__(self, batch: Batch) -> int:
        """Return the FLOPs of one pass over a batch, multiplications and additions both counted."""
        shape = batch.latents.shape
        if shape not in self._counted:
            bare = batch.to(torch.device("meta"))
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                self._module(bare.latents, bare.times, bare.conditions)
            self._counted[shape] = counter.get_total_flops()
        return self._counted[shape]
