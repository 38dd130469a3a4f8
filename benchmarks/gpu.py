"""The noise engine on a GPU: milliseconds a latent frame, what each kernel takes, and the floor.

`python -m benchmarks.gpu --out benchmarks/results` writes `noise_gpu.txt` there, and prints it. Medians of one run; the
host waits for the device before and after what is timed.
"""

import platform
import statistics
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from itertools import product

import numpy as np
import torch
import triton

from benchmarks.noise import CHANNELS, flow_of, matrix
from benchmarks.results import Write, write_results
from equivdm.noise import warped_noise
from equivdm.noise.gpu.motion import plan_on_device

SIZE, GRID = (480, 832), (60, 104)
STEPS = 48
WAYS = ((4, False), (8, False), (8, True))
"""Particles along a cell's side, and whether there is backward flow."""
BARS = {1: 0.15, 8: 0.05}
"""Wanted milliseconds a latent frame, by the number of clips in a batch."""


def flows(clips: int, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return forward and backward flow of a turn with a slow zoom, (clips, steps, height, width, 2)."""
    motion = matrix("turn", SIZE)
    both = (torch.from_numpy(flow_of(each, SIZE)).to(device) for each in (motion, np.linalg.inv(motion)))
    forward, backward = (each.expand(clips, STEPS, *each.shape).contiguous() for each in both)
    return forward, backward


def timed(function: Callable[[], object], runs: int) -> float:
    """Return the median of the milliseconds of `runs` calls, after two that do not count."""
    milliseconds = []
    for run in range(runs + 2):
        torch.cuda.synchronize()
        start = time.perf_counter()
        function()
        torch.cuda.synchronize()
        if run >= 2:
            milliseconds.append(1000 * (time.perf_counter() - start))
    return statistics.median(milliseconds)


def floor() -> tuple[float, float]:
    """Return the measured TB/s of a copy, and the microseconds of a latent frame's flow in and float16 noise out."""
    block = torch.empty(1 << 31, dtype=torch.uint8, device="cuda")
    other = torch.empty_like(block)
    rate = 2 * block.numel() / timed(lambda: other.copy_(block), 9) / 1e9
    moved = 2 * 4 * SIZE[0] * SIZE[1] + 2 * CHANNELS * GRID[0] * GRID[1]
    return rate, moved / rate / 1e6


def figures(write: Write) -> None:
    """Write a line for each way of use."""
    rate, least = floor()
    write(f"copy: {rate:.2f} TB/s; floor of a latent frame (float32 flow in, float16 noise out): {least:.2f} us\n")
    write(
        "milliseconds a latent frame: flow to plan, plan to float16 noise, both; peak memory in GiB; bar, ratio to it"
    )
    for clips, stride in product((1, 8), (1, 4)):
        forward, backward = flows(clips, "cuda")
        emitted = range(0, STEPS + 1, stride)
        for per_cell, back in WAYS:
            torch.cuda.reset_peak_memory_stats()
            plan = partial(plan_on_device, forward, backward if back else None, GRID, per_cell=per_cell, frames=emitted)
            draw = partial(plan().noise, range(clips), CHANNELS, dtype=torch.float16)
            planned, drawn = (timed(call, 9) / (clips * len(emitted)) for call in (plan, draw))
            peak = torch.cuda.max_memory_allocated() / 2**30
            label = f"{clips} x {per_cell}x{per_cell}{' + occlusion' * back}, every {stride}"
            both, bar = planned + drawn, BARS[clips]
            write(f"{label:30} {planned:8.4f} {drawn:8.4f} {both:8.4f}   {peak:6.2f}   {bar:.2f} {both / bar:6.2f}")


def kernels(write: Write) -> None:
    """Write what each kernel takes of a batch of eight clips."""
    forward, backward = flows(8, "cuda")

    def work() -> None:
        plan_on_device(forward, backward, GRID, per_cell=8).noise(range(8), CHANNELS, dtype=torch.float16)

    work()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        work()
        torch.cuda.synchronize()
    write(f"\nkernels, 8 clips of {STEPS + 1} frames, 8x8 + occlusion:")
    write(profile.key_averages().table(sort_by="cuda_time_total", row_limit=16, max_name_column_width=40))


def host(write: Write) -> None:
    """Write what the host takes for the same, on one thread and on all."""
    forward, backward = (each[0].numpy() for each in flows(1, "cpu"))
    for threads, (per_cell, back) in product((1, torch.get_num_threads()), WAYS):
        noise = partial(
            warped_noise,
            forward,
            backward if back else None,
            grid=GRID,
            channels=CHANNELS,
            seed=1,
            per_cell=per_cell,
            threads=threads,
        )
        label = f"host, {threads} threads, {per_cell}x{per_cell}{' + occlusion' * back}"
        write(f"{label:40} {timed(noise, 3) / (STEPS + 1):8.2f}")


def everything(write: Write) -> None:
    """Write all parts."""
    write(f"{date.today()}, {torch.cuda.get_device_name()}, torch {torch.__version__}, triton {triton.__version__},")
    sizes = f"{SIZE[0]}x{SIZE[1]} px to {GRID[0]}x{GRID[1]}x{CHANNELS}, {STEPS} steps"
    write(f"Python {platform.python_version()}; {sizes}\n")
    for part in (figures, host, kernels):
        part(write)


if __name__ == "__main__":
    write_results("The noise engine on a GPU.", "noise_gpu.txt", everything)
