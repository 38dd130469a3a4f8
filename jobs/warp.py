"""`equivdm warp`: the warped noise of one video as a file for any other tool, and a preview to look at."""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self
from uuid import uuid4

import cv2
import numpy as np
import psutil

from equivdm.arrays import Frames, NoiseArray
from equivdm.config import DecodeConfig, FlowConfig, PlanConfig
from equivdm.errors import ItemError, UsageError
from equivdm.flow import Motion, estimate_motion
from equivdm.noise import plan_motion
from equivdm.noise.checks import check_grid, check_seed
from equivdm.noise.colour import noise_colours
from equivdm.video.sandbox import Sandbox
from equivdm.video.write import write_video
from jobs.show import say
from pipelines.progress import progress

PER_CELL = PlanConfig().per_cell
"""Particles along a cell's side, as in the jobs."""

STEPS_AT_ONCE = 8
"""Frame pairs between two moves of the progress bar."""

BYTES_AT_ONCE = 2**28
"""Decoded bytes that the decoder hands over in one go; its memory is limited."""

BYTES_PER_PIXEL = 3 + 2 * (8 + 1) + 8
"""Host memory of one pixel of one frame: colour, flow and mask both ways, and the estimator's own."""

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


def run(options: WarpOptions) -> int:
    """Write the noise, `[frames, channels, h, w]`, and its preview. Raises UsageError for what cannot work."""
    _check(options)
    frames, fps = _decode(options)
    grid = _grid(options, frames)
    emitted = range(0, len(frames), options.time_stride)
    motion = _motion(frames)
    plan = plan_motion(motion.forward, motion.backward, grid=grid, per_cell=PER_CELL, frames=emitted)
    noise = plan.noise(options.seed, options.channels, beta=options.beta, dtype=np.dtype(options.dtype).type)
    written = [(options.out, _writer(options, noise))]
    if not options.no_preview:
        preview = options.preview or options.out.with_suffix(".preview.mp4")
        pictures = side_by_side(frames[:: options.time_stride], noise)
        written.append((preview, lambda path: write_video(path, pictures, fps / options.time_stride)))
    for path, write in written:
        _write_whole(path, write)
    shape = " x ".join(str(side) for side in noise.shape)
    say(f"{options.out}: {shape} {noise.dtype} (frames, channels, height, width)")
    for path, _ in written[1:]:
        say(f"{path}: video beside its noise")
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


def _decode(options: WarpOptions) -> tuple[Frames, float]:
    """The frames and their rate, read in a process of its own: a damaged file must not take this one down."""
    sandbox = Sandbox(DecodeConfig(timeout_s=600))
    try:
        info = sandbox.probe(options.video)
        count = min(options.frames or len(info.timestamps), len(info.timestamps))
        height, width = options.size or (info.height, info.width)
        _check_memory(count, height, width)
        if count < 2:
            raise UsageError(f"{options.video}: got {count} frame, wanted at least 2")
        return _decode_parts(sandbox, options, count, height * width * 3), info.fps
    except ItemError as error:
        raise UsageError(f"{options.video} cannot be read: {error}") from error
    finally:
        sandbox.close()


def _decode_parts(sandbox: Sandbox, options: WarpOptions, count: int, frame_bytes: int) -> Frames:
    at_once = max(1, BYTES_AT_ONCE // frame_bytes)
    parts = []
    with progress("decode", count) as advance:
        for start in range(0, count, at_once):
            parts.append(sandbox.decode(options.video, range(start, min(start + at_once, count)), options.size))
            advance(len(parts[-1]))
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _check_memory(count: int, height: int, width: int) -> None:
    needed, free = count * height * width * BYTES_PER_PIXEL, psutil.virtual_memory().available
    if needed > 0.9 * free:
        raise UsageError(
            f"{count} frames of {height}x{width} need about {needed / 2**30:.1f} GiB of memory, "
            f"{free / 2**30:.1f} GiB are free: choose a smaller --size, or fewer --frames"
        )


def _grid(options: WarpOptions, frames: Frames) -> tuple[int, int]:
    """The grid that was asked for, checked before the flow is computed."""
    height, width = frames.shape[1:3]
    grid = options.grid or (round(height / options.stride), round(width / options.stride))
    if not all(grid):
        raise UsageError(f"--stride: got {options.stride} for frames of {height}x{width}, wanted a smaller one")
    try:
        check_grid(grid, PER_CELL, (height, width))
        check_seed(options.seed)
    except ValueError as error:
        raise UsageError(f"--{error}") from error
    return grid


def _motion(frames: Frames) -> Motion:
    """Motion between all neighbours, a few pairs at a time for the sake of the progress bar."""
    parts = []
    with progress("flow", len(frames) - 1) as advance:
        for start in range(0, len(frames) - 1, STEPS_AT_ONCE):
            parts.append(estimate_motion(frames[start : start + STEPS_AT_ONCE + 1], FlowConfig()))
            advance(len(parts[-1].forward))
    names = [field.name for field in fields(Motion)]
    return Motion(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _writer(options: WarpOptions, noise: NoiseArray) -> Callable[[str], None]:
    """How to write the noise to a path, in the format of the output's name."""
    if options.out.suffix == ".npy":
        return lambda path: np.save(path, noise)
    from safetensors.numpy import save_file

    facts = {
        "layout": "frames channels height width",
        "video": Path(options.video).name,
        "seed": str(options.seed),
        "beta": str(options.beta),
        "time_stride": str(options.time_stride),
    }
    return lambda path: save_file({"noise": noise}, path, metadata=facts)


def _write_whole(path: Path, write: Callable[[str], None]) -> None:
    """Write beside the place and move there, so that nobody meets half a file under the name."""
    partial = path.with_name(f".{uuid4().hex}{path.suffix}")
    try:
        write(str(partial))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
