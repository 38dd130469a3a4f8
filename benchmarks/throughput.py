"""Clips and frames a second: preprocess beside a bare loop of its own steps, and the noise beside Go-with-the-Flow."""

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import cv2
import numpy as np

from benchmarks.cpu import CpuSeconds
from benchmarks.figures import CPUS, Figure
from equivdm.config import ClipConfig, FlowConfig
from equivdm.flow import build_estimator
from equivdm.noise import warped_noise
from equivdm.noise.peers import GoWithTheFlow
from equivdm.video.write import write_video
from pipelines.allocator import keep_memory
from pipelines.config import PreprocessJob
from pipelines.manifest import probe_video, unknown_videos
from pipelines.preprocess import finish_clip, prepare_wave, run
from pipelines.ray_session import ray_session
from pipelines.settings import RayConfig, SourceConfig, StoreConfig
from pipelines.sources import list_videos
from pipelines.stage_steps import decode_window, estimate_window_motion, make_control, make_plan
from pipelines.steps import NOBODY
from pipelines.store import Store, open_store
from pipelines.tables import Row

Size = tuple[int, int]

FRAMES = 17
CHANNELS = 16
STRIDE = 8
STEPS = (decode_window, estimate_window_motion, make_plan, make_control, finish_clip)


def moving_pictures(seed: int, frames: int, size: Size) -> Iterator[np.ndarray]:
    """Yield frames, uint8 [height, width, 3], of a smooth texture that shifts, turns and is zoomed into."""
    height, width = size
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    canvas = cv2.resize(coarse, (2 * width, 2 * height), interpolation=cv2.INTER_CUBIC)
    turn, zoom, right, down = generator.uniform((-0.5, 0.995, -3, -3), (0.5, 1.005, 3, 3))
    for frame in range(frames):
        motion = cv2.getRotationMatrix2D((float(width), float(height)), turn * frame, zoom**frame)
        motion[:, 2] += (right * frame - width / 2, down * frame - height / 2)
        yield cv2.warpAffine(canvas, motion, (width, height), borderMode=cv2.BORDER_REFLECT)


def write_videos(folder: Path, count: int, size: Size) -> None:
    """Write videos of one window each."""
    folder.mkdir(parents=True)
    for seed in range(count):
        write_video(str(folder / f"{seed:05d}.mp4"), moving_pictures(seed, FRAMES, size), 25.0)


# End to end


def end_to_end(place: Path, clips: int, size: Size, rounds: int) -> list[Figure]:
    """Measure a whole run beside the bare loop of its steps in as many processes as CPUs, in turn.

    Once with Ray's own start and its workers' imports, once in a session where both are over. By the clock, and by CPU
    seconds, which other work on the machine leaves as they are: with every CPU in full use both say the same. The loop
    runs in processes as Python starts them, and once more in such as ask for memory the way the pipeline's do.
    """
    write_videos(place / "videos", clips, size)
    write_videos(place / "warm", len(CPUS), size)
    job = partial(_job, place, ClipConfig(frames=FRAMES, height=size[0], width=size[1]))
    found: dict[str, list[Cost]] = {"bare": [], "kept": [], "cold": [], "warm": []}
    for number in range(rounds):
        for kind in ("bare", "kept"):
            with Bare(job("warm", f"warm {kind}{number}"), keep=kind == "kept") as bare:
                found[kind].append(_cost(partial(bare.run, job("videos", f"{kind}{number}"))))
        found["cold"].append(_cost(partial(_run, job("videos", f"cold{number}"))))
        with ray_session(job("videos", "").ray):
            run(job("warm", f"session{number}"))
            found["warm"].append(_cost(partial(_run, job("videos", f"warm{number}"))))
    name = f"{clips} clips of {size[0]}x{size[1]}x{FRAMES}, {len(CPUS)} CPUs"
    figures = _ratios(found, "bare", clips, f"of the bare loop's throughput, {name}", 0.9)
    figures += _ratios(found, "kept", clips, "of that of a loop that keeps memory", None)
    return [*figures, *_where(open_store(job("videos", f"warm{rounds - 1}").store), clips)]


def _ratios(
    found: Mapping[str, Sequence["Cost"]], loop: str, clips: int, name: str, wanted: float | None
) -> list[Figure]:
    each = [median(column) / clips for column in zip(*found[loop], strict=True)]
    floor = f"{each[0]:.2f} s, {each[1]:.2f} CPU s a clip in the loop"
    figures = []
    for kind, what in (("cold", "Ray's start included"), ("warm", "in a session that is open")):
        by_clock, by_cpu = (median(ratios) for ratios in zip(*map(_ratio, found[loop], found[kind]), strict=True))
        figures += [
            Figure("a", f"end to end, {what}, part {name}", by_clock, wanted, least=True, floor=floor),
            Figure("a", f"the same by CPU seconds, {what}", by_cpu, wanted, least=True, floor=floor),
        ]
    return figures


class Cost(NamedTuple):
    """What something took."""

    seconds: float
    cpu_seconds: float


def _ratio(bare: Cost, own: Cost) -> Cost:
    return Cost(bare.seconds / own.seconds, bare.cpu_seconds / own.cpu_seconds)


def _cost(function: Callable[[], object]) -> Cost:
    with CpuSeconds() as cpu:
        seconds = _timed(function)
    return Cost(seconds, cpu.total)


class Bare:
    """Processes that do what the steps do, without Ray, tables' logs or a driver; they live for the block."""

    def __init__(self, warm: PreprocessJob, keep: bool) -> None:
        context = multiprocessing.get_context("spawn")
        # As Ray gives a task of one CPU.
        os.environ["OMP_NUM_THREADS"] = "1"
        barrier = context.Barrier(len(CPUS))
        self._pool = ProcessPoolExecutor(len(CPUS), context, initializer=_warm_up, initargs=(warm, keep, barrier))

    def __enter__(self) -> "Bare":
        list(self._pool.map(abs, CPUS))  # a process is started for each, and none answers before all have warmed up
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def run(self, job: PreprocessJob) -> None:
        """Do all videos of a job, from probing to the encoder."""
        list(self._pool.map(partial(bare_clip, job=job), _videos(job)))


def bare_clip(video: Row, job: PreprocessJob) -> None:
    """Do with one video what preprocess does. Raises RuntimeError where its clip does not come to its end."""
    store = open_store(job.store)
    (window,) = probe_video(video, job, store.table("manifest"))["rows"]
    item = {**window, "final": True, "key": f"bare-{video['key']}", "run": "bare", "outcome": None}
    (item,) = prepare_wave([item], job, store)
    for step in STEPS:
        item = step(item, job=job, store=store, reporter=NOBODY)
    (row,) = item["rows"]
    if row["outcome"] != "done":
        raise RuntimeError(f"{video['path']}: got {row['outcome']} ({row['rule']}, {row['message']}), wanted done")


def _warm_up(job: PreprocessJob, keep: bool, barrier: Any) -> None:
    if keep:
        keep_memory()
    bare_clip(_videos(job)[0], job)
    barrier.wait()


def _videos(job: PreprocessJob) -> list[Row]:
    return unknown_videos(open_store(job.store), job, list_videos(job.source)).to_pylist()


def _run(job: PreprocessJob) -> None:
    summary = run(job)
    if not summary.ok:
        raise RuntimeError(f"got {summary.counts} ({summary.failures[:1]}), wanted all done")


def _job(place: Path, clip: ClipConfig, videos: str, store: str) -> PreprocessJob:
    return PreprocessJob(
        source=SourceConfig(root=str(place / videos)),
        store=StoreConfig(root=str(place / store)),
        ray=RayConfig(cpus=len(CPUS)),
        clip=clip,
    )


def _where(store: Store, clips: int) -> list[Figure]:
    """Return where the time of the only run in a store went, by its own record."""
    (path,) = Path(store.root, "runs").glob("*.json")
    record = json.loads(path.read_text())
    figures = {f"{stage['name']}, s of a worker a clip": stage["seconds"] / clips for stage in record["stages"]}
    return [Figure("a", name, value) for name, value in {**figures, "commits, s": record["commit_s"]}.items()]


# The noise of a clip


def noise_beside_a_peer(size: Size, rounds: int) -> list[Figure]:
    """Measure a clip's noise from its frames beside Go-with-the-Flow at eight times the latent grid, both with DIS."""
    frames = np.stack(list(moving_pictures(0, FRAMES, size)))
    estimate = build_estimator(FlowConfig())
    flow = estimate(frames)
    grid = (size[0] // STRIDE, size[1] // STRIDE)

    def ours() -> None:
        warped_noise(*flow, grid=grid, channels=CHANNELS, seed=0)

    ours()  # compiles
    found = [
        (_timed(partial(estimate, frames)), _timed(ours), _timed(partial(_peer, flow, size))) for _ in range(rounds)
    ]
    whole = median((dis + peer) / (dis + own) for dis, own, peer in found)
    alone = median(peer / own for _, own, peer in found)
    dis, own, peer = (1000 * median(column) / FRAMES for column in zip(*found, strict=True))
    floor = f"ms a frame: DIS {dis:.1f}, noise {own:.1f}, peer's {peer:.0f}"
    what = f"times Go-with-the-Flow 8x, {size[0]}x{size[1]}x{FRAMES}"
    return [
        Figure("e", f"{what}, DIS included in both", whole, 100, least=True, floor=floor),
        Figure("e", f"{what}, from flow to noise", alone, 100, least=True, floor=floor),
    ]


def _peer(flow: Sequence[np.ndarray], size: Size) -> None:
    generator = np.random.default_rng(0)
    state = GoWithTheFlow(generator.standard_normal((CHANNELS, *size), np.float32))
    for forward, backward in zip(*flow, strict=True):
        state.step(forward, backward, generator)


def _timed(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started
