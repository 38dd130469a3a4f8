"""Where arrays come from and go to: numpy, or torch on the host or a device. Importing this loads no torch."""

from typing import Any

import numpy as np


def is_tensor(array: Any) -> bool:
    """Say whether it is a torch tensor."""
    return hasattr(array, "is_cuda")


def on_device(array: Any) -> bool:
    """Say whether it is a torch tensor on a GPU."""
    return is_tensor(array) and bool(array.is_cuda)


def on_host(array: Any) -> Any:
    """Return a tensor of the host as a numpy array of the same memory, and anything else as it is."""
    return array.detach().numpy() if is_tensor(array) and array.device.type == "cpu" else array


def in_type(noise: np.ndarray, dtype: Any) -> Any:
    """Return noise in a numpy type as a numpy array, or in a torch type as a tensor; nearest numbers, ties to even."""
    if type(dtype).__module__ != "torch":
        return noise.astype(dtype, copy=False)
    import torch

    return torch.from_numpy(noise).to(dtype)
