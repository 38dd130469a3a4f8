"""`equivdm warp`: the warped noise of one video as a file for any other tool, and a preview to look at."""

import argparse
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple, Self

import cv2
import numpy as np

from equivdm.arrays import Frames, NoiseArray
from equivdm.config import DecodeConfig, FlowConfig, PlanConfig
from equivdm.errors import ItemError, UsageError
from equivdm.flow import estimate_motion
from equivdm.noise import MotionPlanner
from equivdm.noise.checks import check_grid, check_seed
from equivdm.noise.colour import noise_colours
from equivdm.video.sandbox import Sandbox
from equivdm.video.write import write_video
from jobs.console import say
from pipelines.progress import progress

PER_CELL = PlanConfig().per_cell
"""Particles along a cell's side, as in the jobs."""

STEPS_AT_ONCE = 8
"""Frame pairs whose flow is held at a time."""

BYTES_AT_ONCE = 2**28
"""Decoded bytes that the decoder hands over in one go; its memory is limited."""

PREVIEW_HEIGHT = 480
"""The preview's panels are at most so high, in pixels."""


@dataclass(frozen=True)
class WarpOptions:
    """The options of `equivdm warp`; sizes are (height, width)."""

    video: str
    out: Path
    grid: tuple[int, int] | None
    stride: int
    size: tuple[int, int] | None
    channels: int
    seed: int
    beta: float
    frames: int | None
    time_stride: int
    dtype: str
    preview: Path | None
    no_preview: bool

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Self:
        """Take them from a parsed command line."""
        return cls(**{field.name: getattr(arguments, field.name) for field in fields(cls)})


class _Video(NamedTuple):
    """What is read of the video."""

    frames: int
    height: int
    width: int
    fps: float


def run(options: WarpOptions) -> int:
    """Write the noise, `[frames, channels, h, w]`, and its preview. Raises UsageError for what cannot work.

    In memory that does not grow with the video, but for a `.safetensors`, which is written in one go.
    """
    _check(options)
    sandbox = Sandbox(DecodeConfig(timeout_s=600))
    try:
        video = _probe(sandbox, options)
        grid = _grid(options, (video.height, video.width))
        shape = (len(range(0, video.frames, options.time_stride)), options.channels, *grid)
        with tempfile.TemporaryDirectory(prefix=".equivdm-", dir=options.out.absolute().parent) as folder:
            noise = np.lib.format.open_memmap(f"{folder}/noise.npy", "w+", np.dtype(options.dtype), shape)
            parts = _kept(_warped(sandbox, options, video, grid), noise)
            preview = None if options.no_preview else options.preview or options.out.with_suffix(".preview.mp4")
            if preview:
                pictures = (picture for frames, part in parts for picture in side_by_side(frames, part))
                write_video(f"{folder}/preview.mp4", pictures, video.fps / options.time_stride)
                shutil.move(f"{folder}/preview.mp4", preview)
            else:
                deque(parts, maxlen=0)
            _place(options, noise, Path(folder))
    except ItemError as error:
        raise UsageError(f"{options.video} cannot be read: {error}") from error
    finally:
        sandbox.close()
    say(f"{options.out}: {' x '.join(map(str, shape))} {noise.dtype} (frames, channels, height, width)")
    if preview:
        say(f"{preview}: video beside its noise")
    return 0


def side_by_side(frames: Frames, noise: NoiseArray) -> Frames:
    """A video beside its noise, one frame per frame of noise, in even panels for H.264."""
    height, width = frames.shape[1:3]
    scale = min(1.0, PREVIEW_HEIGHT / height)
    height, width = (max(2, round(side * scale) // 2 * 2) for side in (height, width))
    left = [cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in frames]
    right = [cv2.resize(one, (width, height), interpolation=cv2.INTER_NEAREST) for one in noise_colours(noise)]
    return np.concatenate([np.stack(left), np.stack(right)], axis=2)


def _check(options: WarpOptions) -> None:
    if options.out.suffix not in (".npy", ".safetensors"):
        raise UsageError(f"--out: got {options.out}, wanted a name that ends in .npy or .safetensors")
    if not 0 <= options.beta <= 1:
        raise UsageError(f"--beta: got {options.beta}, wanted a share from 0 to 1")
    if not Path(options.video).is_file():
        raise UsageError(f"no file {options.video!r}: wanted the path of a video")
    for path in filter(None, (options.out, options.preview)):
        folder = path.absolute().parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder} cannot be made ({error.strerror}): choose another place") from error
        if not os.access(folder, os.W_OK):
            raise UsageError(f"{folder} cannot be written: choose another place, or change its permissions")


def _probe(sandbox: Sandbox, options: WarpOptions) -> _Video:
    """The video as it will be read, in a process of its own: a damaged file must not take this one down."""
    info = sandbox.probe(options.video)
    count = min(options.frames or len(info.timestamps), len(info.timestamps))
    if count < 2:
        raise UsageError(f"{options.video}: got {count} frame, wanted at least 2")
    height, width = options.size or (info.height, info.width)
    return _Video(count, height, width, info.fps)


def _decoded(sandbox: Sandbox, options: WarpOptions, video: _Video) -> Iterator[Frames]:
    """The frames, block by block."""
    at_once = max(1, BYTES_AT_ONCE // (video.height * video.width * 3))
    for start in range(0, video.frames, at_once):
        stop = min(start + at_once, video.frames)
        yield sandbox.decode(options.video, range(start, stop), options.size)


def _warped(
    sandbox: Sandbox, options: WarpOptions, video: _Video, grid: tuple[int, int]
) -> Iterator[tuple[Frames, NoiseArray]]:
    """Emitted frames and their noise, a few at a time, in order."""
    emitted = range(0, video.frames, options.time_stride)
    planner = MotionPlanner((video.height, video.width), grid=grid, per_cell=PER_CELL, threads=os.cpu_count() or 1)
    waiting: Frames | None = None  # decoded, from the frame that the planner has not closed

    def taken(frames: Frames, first: int) -> Iterator[tuple[Frames, NoiseArray]]:
        chosen = [number - first for number in range(first, first + len(frames)) if number in emitted]
        if chosen:
            noise = planner.take().noise(options.seed, options.channels, beta=options.beta, threads=planner.threads)
            yield frames[chosen], noise

    with progress("warp", video.frames) as advance:
        for block in _decoded(sandbox, options, video):
            waiting = block if waiting is None else np.concatenate([waiting, block])
            for start in range(0, len(waiting) - 1, STEPS_AT_ONCE):
                frames = waiting[start : start + STEPS_AT_ONCE + 1]
                motion, first = estimate_motion(frames, FlowConfig()), planner.frame
                planner.extend(motion.forward, motion.backward, frames=emitted, unknown="fresh")
                yield from taken(frames[:-1], first)
                advance(len(frames) - 1)
            waiting = waiting[-1:]
        planner.finish(emitted)
        if waiting is not None:
            yield from taken(waiting, planner.frame)
        advance(1)


def _kept(parts: Iterator[tuple[Frames, NoiseArray]], noise: NoiseArray) -> Iterator[tuple[Frames, NoiseArray]]:
    """The same parts, each written to its place in `noise` on the way."""
    place = 0
    for frames, part in parts:
        noise[place : place + len(part)] = part
        place += len(part)
        yield frames, part


def _grid(options: WarpOptions, size: tuple[int, int]) -> tuple[int, int]:
    """The grid that was asked for, checked before a frame is decoded."""
    height, width = size
    grid = options.grid or (round(height / options.stride), round(width / options.stride))
    if not all(grid):
        raise UsageError(f"--stride: got {options.stride} for frames of {height}x{width}, wanted a smaller one")
    try:
        check_grid(grid, PER_CELL, (height, width))
        check_seed(options.seed)
    except ValueError as error:
        raise UsageError(f"--{error}") from error
    return grid


def _place(options: WarpOptions, noise: np.memmap, folder: Path) -> None:
    """Move the noise to its name, in the format that the name asks for: nobody meets half a file there."""
    noise.flush()
    if options.out.suffix == ".npy":
        (folder / "noise.npy").replace(options.out)
        return
    from safetensors.numpy import save_file

    facts = {
        "layout": "frames channels height width",
        "video": Path(options.video).name,
        "seed": str(options.seed),
        "beta": str(options.beta),
        "time_stride": str(options.time_stride),
    }
    save_file({"noise": np.asarray(noise)}, folder / "noise.safetensors", metadata=facts)
    (folder / "noise.safetensors").replace(options.out)
