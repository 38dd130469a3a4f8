"""The noise engine beside other ways to warp noise, on the same flows: speed, whiteness and coherence.

`python -m benchmarks.noise` prints tables; `--quick` takes a small frame. Times are medians of one run on one thread
unless said; compare ratios, not milliseconds.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import cv2
import numpy as np

from equivdm.noise import MotionPlanner, peers, plan_motion

CHANNELS = 16
STRIDE = 8
ROUNDS = 5
MOTIONS = {
    "pan": (0.0, 1.0, 3.3, -0.7),
    "turn": (1.5, 1.01, 0, 0),
    "zoom in": (0, 1.02, 0, 0),
    "zoom out": (0, 0.98, 0, 0),
}
"""Degrees, zoom, and shift in px right and down, a frame."""
WARPS = 48
SHOWN = (8, 24, 48)


def matrix(name: str, size: tuple[int, int]) -> np.ndarray:
    """Return the 3 x 3 matrix that takes px (x, y, 1) of one frame to the next, about the middle of the frame."""
    degrees, zoom, right, down = MOTIONS[name]
    angle = np.deg2rad(degrees)
    linear = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([size[1] / 2, size[0] / 2])
    return np.vstack([np.column_stack([linear, middle - linear @ middle + (right, down)]), [0, 0, 1]])


def flow_of(motion: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the displacement field of a matrix, float32 [height, width, 2]."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]] + 0.5
    moved = np.stack([x, y, np.ones_like(x)], -1) @ motion[:2].T
    return (moved - np.stack([x, y], -1)).astype(np.float32)


def at_cells(flow: np.ndarray, stride: int) -> np.ndarray:
    """Return a flow at the middle of cells of `stride` px, in cells."""
    height, width = flow.shape[0] // stride, flow.shape[1] // stride
    return np.ascontiguousarray(cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA) / stride)


# Every scheme: (first noise, forward and backward flow at its own resolution, generator) -> frames 0 to WARPS


def run_step(step: Callable, noise: np.ndarray, flows: tuple, generator: np.random.Generator) -> list[np.ndarray]:
    """Carry noise on by a function of one step."""
    frames = [noise]
    for _ in range(WARPS):
        frames.append(step(frames[-1], *flows, generator))
    return frames


def run_state(make: Callable, noise: np.ndarray, flows: tuple, generator: np.random.Generator) -> list[np.ndarray]:
    """Carry noise on by an object with a state."""
    state = make(noise, generator)
    return [noise, *(state.step(*flows, generator) for _ in range(WARPS))]


PEERS: dict[str, Callable] = {
    "bilinear": lambda *given: run_step(peers.bilinear, *given),
    "nearest": lambda *given: run_step(peers.nearest, *given),
    "infinite resolution": lambda *given: run_step(peers.brownian, *given),
    "Go-with-the-Flow": lambda *given: run_state(lambda noise, _: peers.GoWithTheFlow(noise), *given),
    "HIWYN": lambda *given: run_state(lambda noise, generator: peers.IntegralNoise(noise, 8, generator), *given),
}


def particles(per_cell: int, motion: np.ndarray, size: tuple[int, int], seed: int) -> list[np.ndarray]:
    """Return this engine's frames on the latent grid."""
    forward = np.repeat(flow_of(motion, size)[None], WARPS, 0)
    backward = np.repeat(flow_of(np.linalg.inv(motion), size)[None], WARPS, 0)
    grid = (size[0] // STRIDE, size[1] // STRIDE)
    return list(plan_motion(forward, backward, grid=grid, per_cell=per_cell).noise(seed, CHANNELS))


def tracking(frames: list[np.ndarray], motion: np.ndarray, at: int) -> float:
    """Return the correlation of frame `at` with frame 0 at the cell that the material came from; in the middle disc."""
    height, width = frames[0].shape[1:]
    whole = np.linalg.inv(np.linalg.matrix_power(motion, at))
    y, x = np.mgrid[0:height, 0:width] + 0.5
    source = (whole[:2] @ np.stack([x * STRIDE, y * STRIDE, np.ones_like(x)]).reshape(3, -1)) / STRIDE
    column, row = np.floor(source).astype(int).reshape(2, height, width)
    seen = (x - width / 2) ** 2 + (y - height / 2) ** 2 < (min(width, height) / 2 - 1) ** 2
    seen &= (row >= 0) & (row < height) & (column >= 0) & (column < width)
    was, now = frames[0][:, row[seen], column[seen]], frames[at][:, seen]
    return float(np.corrcoef(was.ravel(), now.ravel())[0, 1])


def whiteness(noise: np.ndarray) -> tuple[float, float]:
    """Return the variance and the mean correlation of neighbours, in the middle of the frame."""
    height, width = noise.shape[1:]
    middle = noise[:, height // 4 : -height // 4, width // 4 : -width // 4]
    neighbours = [np.mean(middle[:, 1:] * middle[:, :-1]), np.mean(middle[:, :, 1:] * middle[:, :, :-1])]
    return float(middle.var()), float(np.mean(neighbours) / middle.var())


def quality(size: tuple[int, int]) -> None:
    """Print whiteness and tracking of every scheme on the latent grid."""
    grid = (size[0] // STRIDE, size[1] // STRIDE)
    print(f"\nOn the latent grid, {grid[0]} x {grid[1]} cells, {CHANNELS} channels, {WARPS} warps")
    print(f"{'motion':9} {'scheme':20} {'variance':>8} {'neighbours':>10}   tracking at {SHOWN}")
    for name in MOTIONS:
        motion = matrix(name, size)
        flows = tuple(at_cells(flow_of(each, size), STRIDE) for each in (motion, np.linalg.inv(motion)))
        for scheme in (*PEERS, "particles 4x4", "particles 8x8"):
            generator = np.random.default_rng(0)
            if scheme in PEERS:
                first = generator.standard_normal((CHANNELS, *grid)).astype(np.float32)
                frames = PEERS[scheme](first, flows, generator)
            else:
                frames = particles(int(scheme[-1]), motion, size, seed=1)
            variance, neighbours = whiteness(frames[-1])
            shown = "  ".join(f"{tracking(frames, motion, at):5.2f}" for at in SHOWN)
            print(f"{name:9} {scheme:20} {variance:8.3f} {neighbours:10.3f}   {shown}")


def timed(function: Callable[[], object], runs: int) -> float:
    """Return the median of the seconds of `runs` calls, after one that does not count."""
    function()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def peer_speeds(size: tuple[int, int]) -> dict[str, float]:
    """Return milliseconds a frame of other schemes, with a state of eight times the latent grid."""
    motion = matrix("turn", size)
    flows = flow_of(motion, size), flow_of(np.linalg.inv(motion), size)
    latent = at_cells(flows[0], STRIDE), at_cells(flows[1], STRIDE)
    generator = np.random.default_rng(0)
    noise = generator.standard_normal((CHANNELS, *size)).astype(np.float32)
    first = generator.standard_normal((CHANNELS, size[0] // STRIDE, size[1] // STRIDE)).astype(np.float32)
    integral = peers.IntegralNoise(first, 8, generator)
    schemes = {
        "bilinear 8x": lambda: peers.bilinear(noise, *flows, generator),
        "HIWYN 8x": lambda: integral.step(*latent, generator),
        "infinite resolution 8x": lambda: peers.brownian(noise, *flows, generator),
        "Go-with-the-Flow 8x": lambda: peers.GoWithTheFlow(noise).step(*flows, generator),
    }
    return {name: 1000 * timed(call, 3) for name, call in schemes.items()}


def engine_speeds(size: tuple[int, int], threads: int) -> dict[str, float]:
    """Return milliseconds of this engine: a plan's step, and a draw of one latent frame."""
    grid, steps = (size[0] // STRIDE, size[1] // STRIDE), 24
    motion = matrix("turn", size)
    forward, backward = (np.repeat(flow_of(each, size)[None], steps, 0) for each in (motion, np.linalg.inv(motion)))
    figures, emitted = {}, range(0, steps + 1, 4)
    for per_cell, back in ((4, None), (4, backward), (8, None), (8, backward)):

        def plan(per_cell: int = per_cell, back: np.ndarray | None = back) -> None:
            planner = MotionPlanner(size, grid=grid, per_cell=per_cell, threads=threads)
            planner.extend(forward, back, frames=())

        label = f"plan {per_cell}x{per_cell}{' + occlusion test' * (back is not None)}"
        figures[label] = 1000 * timed(plan, 7) / steps
    for per_cell in (4, 8):
        stored = plan_motion(forward, backward, grid=grid, per_cell=per_cell, frames=emitted)
        draw = partial(stored.noise, 1, CHANNELS, threads=threads)
        figures[f"draw {per_cell}x{per_cell}"] = 1000 * timed(draw, 9) / len(emitted)
    return figures


def all_speeds(size: tuple[int, int], threads: tuple[int, ...]) -> dict[str, float]:
    """Return milliseconds a frame of peers, on one thread, and of the engine: medians of rounds through all of them.

    A machine that is slow for a while is then slow for all alike.
    """
    rounds = []
    for _ in range(ROUNDS):
        figures = peer_speeds(size)
        for number in threads:
            suffix = f", {number} thread{'s' * (number > 1)}"
            figures |= {name + suffix: value for name, value in engine_speeds(size, number).items()}
        rounds.append(figures)
    return {name: median(each[name] for each in rounds) for name in rounds[0]}


def speed(size: tuple[int, int]) -> None:
    """Print milliseconds a frame: peers on one thread, the engine on one and on two."""
    grid = (size[0] // STRIDE, size[1] // STRIDE)
    print(f"\nMilliseconds a frame, {size[0]} x {size[1]} px to {grid[0]} x {grid[1]} x {CHANNELS}")
    figures = all_speeds(size, threads=(1, 2))
    reference = figures["Go-with-the-Flow 8x"]
    for name, milliseconds in figures.items():
        print(f"{name:36} {milliseconds:9.2f} ms   {reference / milliseconds:7.1f} times Go-with-the-Flow 8x")
    moved = 2 * 4 * size[0] * size[1] + 4 * CHANNELS * grid[0] * grid[1]
    block = np.ones((8, *size), np.float32)
    rate = 2 * block.nbytes / timed(block.copy, 9)
    floor = f"{moved / 2**20:.1f} MiB at {rate / 1e9:.1f} GB/s: {1000 * moved / rate:.2f} ms"
    print(f"floor, flow in and float32 noise out: {floor}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="The noise engine beside other ways to warp noise.")
    parser.add_argument("--quick", action="store_true", help="a frame of 240 x 416 px instead of 480 x 832")
    parser.add_argument("--only", choices=("speed", "quality"))
    options = parser.parse_args()
    size = (240, 416) if options.quick else (480, 832)
    for name, table in (("quality", quality), ("speed", speed)):
        if options.only in (None, name):
            table(size)


if __name__ == "__main__":
    main()
