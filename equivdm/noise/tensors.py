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
    """Return a tensor of the host as an array of the same memory; as it is where numpy has no such type."""
    if not is_tensor(array) or array.device.type != "cpu" or str(array.dtype) == "torch.bfloat16":
        return array
    return array.detach().numpy()


def kind(array: Any) -> str:
    """Return type and place of an array, for messages."""
    name = str(getattr(array, "dtype", type(array).__name__))
    return f"{name} on {array.device}" if is_tensor(array) else name


def in_type(noise: np.ndarray, dtype: Any) -> Any:
    """Return noise in a numpy type as a numpy array, or in a torch type as a tensor; nearest numbers, ties to even."""
    if type(dtype).__module__ != "torch":
        return noise.astype(dtype, copy=False)
    import torch

    return torch.from_numpy(noise).to(dtype)
