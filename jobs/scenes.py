"""`equivdm scenes`: a folder of generated videos whose motion is known exactly, to train, try and measure on."""

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self
from uuid import uuid4

import numpy as np

from equivdm.errors import UsageError
from equivdm.seeds import derive_seed
from equivdm.video.photographs import Photographic, load_photographs
from equivdm.video.synthetic import Scene, render_scene
from equivdm.video.textures import Muted, Texture, painted
from equivdm.video.write import write_video
from jobs.console import say
from pipelines.progress import progress

NOTE = "scenes.json"
"""File of a folder that says what its scenes are."""


@dataclass(frozen=True)
class Look:
    """What the scenes of a folder have in common."""

    frames: int = 32
    height: int = 64
    width: int = 64
    fps: float = 12.0
    photographs: float = 0.0
    """Share of the scenes whose textures are photographs; those of the others are painted patterns."""
    saturation: float = 1.0
    """Of all colours; 0 is grey."""
    flow: bool = False
    """Whether the exact flow of NAME.mp4 is written beside it, as NAME.flow.npz."""


@dataclass(frozen=True)
class ScenesOptions:
    """What `scenes` is asked for."""

    folder: Path
    count: int
    seed: int
    look: Look

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Self:
        """Read the command line."""
        height, width = arguments.size
        look = Look(
            arguments.frames, height, width, arguments.fps, arguments.photographs, arguments.saturation, arguments.flow
        )
        return cls(arguments.folder, arguments.count, arguments.seed, look)


def run(options: ScenesOptions) -> int:
    """Write the scenes that are not there yet.

    Raises UsageError for a frame that is too small, a folder with other scenes, or absent packages.
    """
    look = options.look
    if min(look.height, look.width) < 16:
        raise UsageError(f"--size: got {look.height}x{look.width}, wanted at least 16x16")
    _settle(options)
    names = [f"scene_{number:05d}" for number in range(options.count)]
    seeds = {f"{name}.mp4": derive_seed("scenes", options.seed, name) for name in names}
    write_scenes(options.folder, seeds, look)
    say(f"{options.count} scenes: {options.folder}")
    return 0


def _settle(options: ScenesOptions) -> None:
    """Note what a folder's scenes are. Raises UsageError where it has others: names do not tell them apart."""
    note = options.folder / NOTE
    wanted = json.dumps({"seed": options.seed, **asdict(options.look)}, indent=1) + "\n"
    if note.exists() and note.read_text(encoding="utf-8") != wanted:
        got = " ".join(note.read_text(encoding="utf-8").split())
        raise UsageError(f"{options.folder}: got a folder with scenes of {got}, wanted the same: take another folder")
    options.folder.mkdir(parents=True, exist_ok=True)
    note.write_text(wanted, encoding="utf-8")


def write_scenes(folder: Path, seeds: Mapping[str, int], look: Look = Look()) -> None:
    """Render scenes, given as file name and seed, with their captions, but for those that are there."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name in seeds if not (folder / name).exists()]
    if missing:
        photographic = Photographic(load_photographs()) if look.photographs else painted
        with progress("scenes", len(missing)) as advance:
            for name in missing:
                taken = np.random.default_rng(seeds[name]).random() < look.photographs
                _write(folder / name, seeds[name], look, photographic if taken else painted)
                advance()


def _write(path: Path, seed: int, look: Look, texture: Texture) -> None:
    if look.saturation < 1:
        texture = Muted(texture, look.saturation)
    scene = render_scene(seed, frames=look.frames, height=look.height, width=look.width, texture=texture)
    # The video comes last and whole: where it is, what belongs to it is too.
    path.with_suffix(".txt").write_text(scene.caption + "\n", encoding="utf-8")
    if look.flow:
        _write_flow(path.with_suffix(".flow.npz"), scene)
    partial = path.with_name(f".{uuid4().hex}.partial")
    write_video(str(partial), scene.frames, look.fps)
    partial.replace(path)


def _write_flow(path: Path, scene: Scene) -> None:
    np.savez_compressed(path, forward=scene.forward, backward=scene.backward)
