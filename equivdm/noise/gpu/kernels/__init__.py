"""Kernels in Triton's language, which looks like Python and is none: type checkers leave it out."""

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import triton
import triton.language as tl

Pointer = tl.tensor
"""Where the first of a tensor's numbers lies on the device; what the host passes a tensor for."""
Pointers = tl.tensor
"""A place for each lane of a program."""
Block = tl.tensor
"""A number, or a truth value, for each lane of a program."""
Scalar = tl.tensor
"""A number for all lanes; what the host passes a Python number for."""
Number = tl.tensor
"""A `Block` or a `Scalar`; triton reads no union."""


def kernel(function: Callable[..., Any]) -> Any:
    """Compile `function` for a GPU at its first launch."""
    # The tests' shape checker wraps functions; triton wants the bare one.
    return triton.jit(inspect.unwrap(function))


def on(device: torch.device) -> AbstractContextManager[object]:
    """Make a GPU the one that kernels are launched on: triton takes no notice of where its tensors lie."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> None:
    """Run a kernel on a grid of programs, where its first argument lies.

    Each product and sum of it is rounded by itself, as on the host.
    """
    with on(arguments[0].device):
        kernel[grid](*arguments, **constants, enable_fp_fusion=False)
