"""Kernels in Triton's language, which looks like Python and is none: type checkers leave it out."""

import inspect
from collections.abc import Callable
from typing import Any

import triton


def kernel(function: Callable[..., Any]) -> Any:
    """Compile `function` for a GPU at its first launch."""
    # The tests' shape checker wraps functions; triton wants the bare one.
    return triton.jit(inspect.unwrap(function))


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> None:
    """Run a kernel on a grid of programs; each product and sum of it is rounded by itself, as on the host."""
    kernel[grid](*arguments, **constants, enable_fp_fusion=False)
