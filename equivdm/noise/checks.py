"""What the noise functions accept. Each check raises ValueError: the argument, what was got, what was wanted."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from equivdm.arrays import Flow, Mask
from equivdm.compiled import constant, kernel
from equivdm.noise.flows import UNKNOWN_PX, StepFlow
from equivdm.noise.tensors import kind, on_host
from equivdm.noise.workers import in_threads

Unknown = Literal["refuse", "fresh"]
"""What becomes of a vector that is not finite, or longer than the frame: an error, or fresh noise where it leads."""

SIDE_LIMIT = 1 << 14
"""Largest side of a flow, px: a position in 1/65536 px plus one displacement then fits into 32 bits."""

PER_CELL_LIMIT = 16
"""Most particles along a cell's side."""

PARTICLES_LIMIT = 1 << 30
"""Most particles at the start: their labels have 32 bits."""

FINEST = 64
"""Most particles along one pixel of the flow: closer ones would round onto the border of their cell."""


def check_flow(name: str, flow: Any, like: Flow | None = None, size: tuple[int, int] | None = None) -> Flow:
    """Return `flow`, an array or a tensor of the host, as a contiguous and read-only array: the kernels' one type.

    Of the shape of `like`, or of `size` (height, width), where they are given. Its numbers are checked by `known`.
    """
    flow = on_host(flow)
    if not isinstance(flow, np.ndarray) or flow.dtype != np.float32:
        raise ValueError(f"{name}: got {kind(flow)}, wanted a float32 array or tensor on the host; convert it")
    if flow.ndim != 4 or flow.shape[3] != 2 or min(flow.shape) < 1:
        raise ValueError(f"{name}: got shape {flow.shape}, wanted (steps, height, width, 2) with at least one step")
    if max(flow.shape[1:3]) > SIDE_LIMIT:
        raise ValueError(f"{name}: got {flow.shape[2]}x{flow.shape[1]} px, wanted at most {SIDE_LIMIT} px a side")
    if like is not None and flow.shape != like.shape:
        raise ValueError(f"{name}: got shape {flow.shape}, wanted that of forward, {like.shape}")
    if size is not None and flow.shape[1:3] != size:
        raise ValueError(f"{name}: got shape {flow.shape}, wanted (steps, {size[0]}, {size[1]}, 2) as before")
    return constant(flow)


def check_mask(name: str, mask: Any, flow: Flow) -> Mask:
    """Return a mask of the flow's pixels, an array or a tensor of the host, as a contiguous and read-only array."""
    mask = on_host(mask)
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != flow.shape[:3]:
        got = f"{kind(mask)} of shape {getattr(mask, 'shape', None)}"
        raise ValueError(f"{name}: got {got}, wanted bool of shape {flow.shape[:3]}")
    return constant(mask)


@kernel
def is_wild(rows: StepFlow, size: tuple[int, int]) -> bool:
    """Say whether any component in these rows of a flow is not finite, or longer than the frame of `size`."""
    height, width = size
    components, shorter = rows.reshape(-1), np.float32(min(height, width))
    long = wild = False
    for i in range(components.shape[0]):
        long |= not abs(components[i]) <= shorter
    # Hardly ever more than that simple test.
    for i in range(components.shape[0] // 2 if long else 0):
        wild |= (not abs(components[2 * i]) <= width) | (not abs(components[2 * i + 1]) <= height)
    return wild


def known(flows: Mapping[str, Flow], step: int, unknown: Unknown, threads: int) -> list[StepFlow]:
    """Return a step of each flow, by its name, where each vector is within the frame or UNKNOWN_PX.

    One that is not finite, or longer than the frame, raises ValueError, or becomes UNKNOWN_PX where that is "fresh".
    """
    parts = -(-threads // len(flows))
    here = [flow[step] for flow in flows.values()]
    bands = [band for each in here for band in (np.array_split(each, parts) if parts > 1 else [each])]
    wild = in_threads(lambda band: is_wild(band, here[0].shape[:2]), bands, threads)
    return [
        _tamed(name, each, step, unknown) if any(wild[parts * place : parts * (place + 1)]) else each
        for place, (name, each) in enumerate(zip(flows, here, strict=True))
    ]


def _tamed(name: str, here: StepFlow, step: int, unknown: Unknown) -> StepFlow:
    height, width = here.shape[:2]
    wild = ~(np.abs(here) <= (width, height))
    if unknown == "refuse":
        y, x, axis = np.argwhere(wild)[0].tolist()
        raise ValueError(
            f"{name}: got {here[y, x, axis]} at (step, y, x, axis) {(step, y, x, axis)}, wanted finite numbers "
            f'within the frame of {width}x{height} px; unknown="fresh" takes others for motion that is not known'
        )
    return constant(np.where(wild.any(axis=2, keepdims=True), np.float32(UNKNOWN_PX), here))


def check_grid(grid: tuple[int, int], per_cell: int, size: tuple[int, int]) -> None:
    """Check the latent grid (height, width) and the particles along a cell's side against the flow's size."""
    if not 1 <= min(size) <= max(size) <= SIDE_LIMIT:
        raise ValueError(f"size: got {size[1]}x{size[0]} px, wanted 1 to {SIDE_LIMIT} px a side")
    if len(grid) != 2 or min(grid) < 1 or max(grid) > SIDE_LIMIT:
        raise ValueError(f"grid: got {grid}, wanted (height, width), each from 1 to {SIDE_LIMIT}")
    if not 1 <= per_cell <= PER_CELL_LIMIT:
        raise ValueError(f"per_cell: got {per_cell}, wanted 1 to {PER_CELL_LIMIT}")
    if (particles := grid[0] * grid[1] * per_cell**2) > PARTICLES_LIMIT:
        raise ValueError(f"grid: got {grid} with per_cell={per_cell}, {particles} particles; wanted at most 2^30")
    for cells, pixels in zip(grid, size, strict=True):
        if cells * per_cell > FINEST * pixels:
            raise ValueError(
                f"grid: got {grid} with per_cell={per_cell} on a flow of {size}, "
                f"wanted at most {FINEST} particles along a pixel; give a finer flow or a coarser grid"
            )


def check_frames(frames: Sequence[int] | None, steps: int) -> tuple[int, ...]:
    """Return the frames to emit: all of 0..steps by default, else those given, strictly increasing and in range."""
    if frames is None:
        return tuple(range(steps + 1))
    chosen = tuple(int(frame) for frame in frames)
    increasing = all(a < b for a, b in pairwise(chosen))
    if not chosen or not increasing or chosen[0] < 0 or chosen[-1] > steps:
        raise ValueError(f"frames: got {chosen}, wanted strictly increasing numbers from 0 to {steps}")
    return chosen


def check_channels(channels: int) -> None:
    """Check the number of noise channels."""
    if channels < 1:
        raise ValueError(f"channels: got {channels}, wanted at least 1")


def check_seed(seed: int) -> None:
    """Check that the seed fits the generator's key."""
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"seed: got {seed}, wanted 0 to 2^64 - 1; derive one with equivdm.seeds.derive_seed")


def check_beta(beta: float) -> None:
    """Check the share of warped noise."""
    if not 0 <= beta <= 1:
        raise ValueError(f"beta: got {beta}, wanted a number from 0 (independent) to 1 (warped only)")


def check_threads(threads: int) -> None:
    """Check the number of threads."""
    if threads < 1:
        raise ValueError(f"threads: got {threads}, wanted at least 1")
