"""What GPUs can do, by their makers' data sheets. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Device:
    """What a training runs on."""

    memory: float
    """Bytes."""
    flops: float
    """Peak FLOP/s in bf16 without sparsity."""


DEVICES: Mapping[str, Device] = {
    "a100": Device(80e9, PEAKS["A100"]),
    "h100": Device(80e9, PEAKS["H100"]),
    "h200": Device(141e9, PEAKS["H200"]),
    "b200": Device(180e9, PEAKS["B200"]),
}
"""That estimates are made for; A100 and H100 are the SXM ones with 80 GB."""


def named_peak(name: str) -> float | None:
    """Return the peak of a device's name such as `NVIDIA H100 80GB HBM3`: that of the longest entry it has in it."""
    words = name.replace("-", " ").split()
    known = [entry for entry in PEAKS if set(entry.split()) <= set(words)]
    return PEAKS[max(known, key=len)] if known else None
