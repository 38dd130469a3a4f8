"""FLOPs are counted without memory, by a rule that a closed form confirms."""

import pytest
import torch
from torch import Tensor, nn

from equivdm.backbones import backbone_of
from equivdm.backbones.base import Conditions
from equivdm.config import TinyConfig
from pipelines.devices import named_peak
from pipelines.flops import ForwardFlops, peak_flops
from pipelines.loader import Batch


class TwoLayers(nn.Module):
    """Two linear layers over the cells of latents, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 7, bias=False), nn.Linear(7, 3, bias=False)
        self.register_buffer("scale", torch.ones(()))

    def forward(self, latents: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
        del times, conditions
        return self.second(self.first(latents.movedim(1, -1))).movedim(-1, 1) * self.scale


def batch(samples: int, size: int) -> Batch:
    """Samples of two frames."""
    latents = torch.zeros(samples, 3, 2, size, size)
    text, control = torch.zeros(samples, 16, dtype=torch.int64), torch.zeros(samples, 2, 2 * size, 2 * size)
    conditions = Conditions(text, control, torch.full((samples,), 8.0))
    return Batch(latents, (latents,), torch.zeros(samples), conditions)


@pytest.mark.parametrize(("samples", "size"), [(1, 8), (3, 8), (2, 4)])
def test_a_layer_counts_two_for_each_weight_and_cell(samples: int, size: int) -> None:
    flops = ForwardFlops(TwoLayers())
    assert flops(batch(samples, size)) == 2 * (3 * 7 + 7 * 3) * samples * 2 * size * size


def test_a_network_is_counted_without_memory_and_left_alone() -> None:
    denoiser = backbone_of(TinyConfig(width=32, depth=2, heads=2, patch=4)).build_denoiser(seed=0)
    before = {name: value.clone() for name, value in denoiser.state_dict().items()}
    flops = ForwardFlops(denoiser)
    one, two = flops(batch(1, 8)), flops(batch(2, 8))
    assert two == 2 * one > 0
    assert {value.device.type for value in flops._module.state_dict().values()} == {"meta"}
    assert all(torch.equal(value, before[name]) for name, value in denoiser.state_dict().items())


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA A10G", None),  # another chip than the A10
        ("Some GPU", None),
    ],
)
def test_peaks_are_found_by_name(name: str, peak: float | None) -> None:
    assert named_peak(name) == peak


def test_a_cpu_has_none() -> None:
    assert peak_flops(torch.device("cpu")) is None
