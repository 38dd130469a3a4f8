"""How much of a GPU's arithmetic a training uses: model FLOPs, counted without memory, over the device's peak."""

from copy import deepcopy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pipelines.loader import Batch

PEAKS = {
    "A100": 312e12,  # NVIDIA A100 Tensor Core GPU datasheet (2021)
    "H100 PCIe": 756e12,  # NVIDIA H100 datasheet (2022), dense
    "H100 NVL": 835e12,  # NVIDIA H100 NVL datasheet (2024), dense
    "H100": 989e12,  # SXM5; NVIDIA H100 datasheet (2022), dense
    "H200": 989e12,  # NVIDIA H200 datasheet (2023), dense
    "GH200": 989e12,  # NVIDIA GH200 datasheet (2023), dense
    "B200": 2250e12,  # NVIDIA DGX B200 datasheet (2024), dense: 8 of them have 18 PFLOP/s
    "L40S": 362e12,  # NVIDIA L40S datasheet (2023), dense
    "L4": 121e12,  # NVIDIA L4 datasheet (2023), dense
    "A10": 125e12,  # NVIDIA A10 datasheet (2021), dense
}
"""Peak FLOP/s in bf16 without sparsity, by the words of a device's name."""


def peak_flops(device: torch.device) -> float | None:
    """Return a device's peak FLOP/s in bf16; None where it is not known, as of a CPU."""
    return named_peak(torch.cuda.get_device_name(device)) if device.type == "cuda" else None


def named_peak(name: str) -> float | None:
    """Return the peak of a device's name such as `NVIDIA H100 80GB HBM3`: that of the longest entry it has in it."""
    words = name.replace("-", " ").split()
    known = [entry for entry in PEAKS if set(entry.split()) <= set(words)]
    return PEAKS[max(known, key=len)] if known else None


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
