"""Compile every kernel for an NVIDIA H200, without one: `python -m tests.equivdm.noise.gpu.compile_all [every]`.

Runs the host's part on tensors of the CPU with a stand-in for the driver; a launch compiles and does no more. Prints
one line a kernel: its name, and its number of fused float32 multiply-adds, which would change bits.
"""

import functools
import sys

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

from equivdm.noise.gpu.motion import plan_on_device
from tests.equivdm.noise.gpu.cases import GRID, SIZE, STEPS


class Driver:
    """What triton asks of a driver in order to compile."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return device


def compile_only(run, kernel, *arguments, **options):
    """Compile where a kernel would be launched."""
    compiled = run(kernel, *arguments, **(options | {"warmup": True}))
    assert compiled.asm["cubin"]
    print(kernel.__name__, compiled.asm["ptx"].count("fma.rn.f32"))


def main() -> None:
    """Plan and draw in every way that takes other kernels; with `every`, also the same with other constants."""
    triton.runtime.driver.set_active(Driver())
    JITFunction.run = functools.partialmethod(functools.partial(compile_only, JITFunction.run))
    flow = torch.zeros(2, STEPS, *SIZE, 2)
    hidden = torch.zeros(flow.shape[:4], dtype=torch.bool)
    plan_on_device(flow, None, (100, 400), per_cell=1)
    plans = plan_on_device(flow, None, GRID, cuts=(2,))
    plans.noise([1, 2], 16, beta=0.9)
    plans.noise([1, 2], 1)
    if sys.argv[1:] != ["every"]:
        return
    plan_on_device(flow, flow, GRID, per_cell=8)
    plan_on_device(flow, flow, GRID, occlusion=hidden)
    # Triton makes a constant of each number that is 1.
    pixel = torch.zeros(1, 1, 1, 1, 2)
    plan_on_device(pixel, pixel, (1, 1), occlusion=pixel[..., 0] > 0)
    plan_on_device(pixel, None, (1, 1), per_cell=1).noise([1], 1, beta=0.5)


if __name__ == "__main__":
    main()
