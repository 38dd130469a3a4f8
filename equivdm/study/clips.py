"""Generated clips in memory, with all that training and measuring ask of them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64

from equivdm.arrays import ControlMap, Frames
from equivdm.backbones.tiny.codec import TinyCodec
from equivdm.flow import Motion
from equivdm.seeds import derive_seed
from equivdm.study.config import DataSpec
from equivdm.study.moves import Move
from equivdm.study.scenes import Made, make_clip
from equivdm.text import tokenize
from equivdm.video.tensors import to_model_range

VERSION = 1
"""Of what makes clips; raised when the same spec would give others."""


@dataclass(frozen=True)
class Clip:
    """A clip and what is known of it."""

    made: Made
    """Frames, dense condition, caption and motion."""
    latents: Float[torch.Tensor, "channels time height width"]
    tokens: Int64[np.ndarray, " words"]
    """Of the caption."""

    @property
    def frames(self) -> Frames:
        return self.made.frames

    @property
    def control(self) -> ControlMap:
        return self.made.control

    @property
    def motion(self) -> Motion:
        """Exact. Raises ValueError for a clip of kind `exact`, whose maps are no displacements."""
        if self.made.motion is None:
            raise ValueError("motion: a clip of kind exact has none, wanted one of scenes or subpixel: use its moves")
        return self.made.motion

    @property
    def moves(self) -> Sequence[Move]:
        """T_k of each frame, of a clip of kind `exact`; else none."""
        return self.made.moves


@dataclass(frozen=True)
class Clips:
    """The data of a spec and a seed."""

    train: Sequence[Clip]
    held_out: Sequence[Clip]


def build_clips(spec: DataSpec, seed: int, folder: Path) -> Clips:
    """Return the clips of a spec; the first call draws them and keeps them in `folder`, later ones read them.

    A pure function of spec and seed. Several processes may ask for the same ones. Raises UsageError where the packages
    that have the photographs are absent and the clips are not in the folder.
    """
    name = f"clips-{derive_seed(VERSION, spec.model_dump_json(), seed):016x}.npz"
    if not (folder / name).exists():
        count = spec.train + spec.held_out
        made = [make_clip(spec, derive_seed(seed, "clip", number), number) for number in range(count)]
        _write(folder / name, made)
    clips = [_as_clip(each) for each in _read(folder / name)]
    return Clips(clips[: spec.train], clips[spec.train :])


def _as_clip(made: Made) -> Clip:
    video = to_model_range(made.frames)
    return Clip(made, TinyCodec().encode(video[None])[0], np.array(tokenize(made.caption), np.int64))


def _write(path: Path, made: Sequence[Made]) -> None:
    """Write clips as one file, whole or not at all."""
    columns = {name: np.stack(values) for name, values in _columns(made).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.npz")
    np.savez(part, allow_pickle=False, **columns)
    part.replace(path)


def _columns(made: Sequence[Made]) -> dict[str, list[np.ndarray]]:
    columns = {
        "frames": [each.frames for each in made],
        "control": [each.control for each in made],
        "caption": [np.array(each.caption) for each in made],
        "moves": [np.array(each.moves, np.int64).reshape(-1, 4) for each in made],
    }
    motions = [each.motion for each in made if each.motion is not None]
    fields = Motion.__dataclass_fields__ if motions else ()
    return columns | {field: [getattr(motion, field) for motion in motions] for field in fields}


def _read(path: Path) -> list[Made]:
    with np.load(path) as file:
        columns = {name: file[name] for name in file.files}
    moves = [
        tuple(Move(down, right, turns, bool(mirrored)) for down, right, turns, mirrored in each)
        for each in columns["moves"].tolist()
    ]
    fields = [columns[name] for name in Motion.__dataclass_fields__ if name in columns]
    motions = [Motion(*values) for values in zip(*fields, strict=True)] or [None] * len(moves)
    given = zip(columns["frames"], columns["control"], columns["caption"], motions, moves, strict=True)
    return [Made(frames, control, str(caption), motion, move) for frames, control, caption, motion, move in given]
