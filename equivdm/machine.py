"""What computes: said once, beside results."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def machine_name(device: str = "cpu") -> str:
    """Return the processor, or the GPU where `device` is one, and the versions that results may depend on."""
    versions = [f"{name} {found}" for name in ("torch", "numpy", "equivdm") if (found := _version(name))]
    return ", ".join(
        [_processor() if device == "cpu" else _gpu(device), f"Python {platform.python_version()}", *versions]
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    count = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    return f"{named[0] if named else platform.machine()} ({count} CPUs)"


def _gpu(device: str) -> str:
    import torch

    return torch.cuda.get_device_name(device)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:  # as where the code is not installed, only there
        return None
