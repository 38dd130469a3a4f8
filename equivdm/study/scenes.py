"""How the clips of each kind are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from equivdm.arrays import ControlMap, Frames, Picture
from equivdm.backbones.tiny.backbone import GEOMETRY
from equivdm.control import control_map
from equivdm.flow import Motion, in_frame
from equivdm.study.config import DataSpec
from equivdm.study.moves import Move
from equivdm.video.photographs import Photographic, load_photographs
from equivdm.video.synthetic import render_scene
from equivdm.video.textures import Style

FASTEST = 3
"""Cells a frame, each way, of shifts."""

_OVERSAMPLED = 2
"""Samples of a photograph to a pixel, where it moves by parts of one."""


@dataclass(frozen=True)
class Made:
    """A clip as it is drawn."""

    frames: Frames
    control: ControlMap
    caption: str
    motion: Motion | None
    """Of all kinds but `exact`."""
    moves: Sequence[Move] = ()
    """T_k of each frame, of kind `exact`."""


def make_clip(spec: DataSpec, seed: int, number: int) -> Made:
    """Draw a clip. Those of kind `exact` take turns by number: shift, turn, flip. Raises UsageError as
    `load_photographs`."""
    texture = Photographic(load_photographs())
    rng = np.random.default_rng(seed)
    if spec.kind == "scenes":
        scene = render_scene(seed, frames=spec.frames, height=spec.height, width=spec.width, texture=texture)
        motion = Motion(scene.forward, scene.backward, scene.occluded_forward, scene.occluded_backward)
        return Made(scene.frames, control_map(scene.frames, spec.control), scene.caption, motion)
    if spec.kind == "subpixel":
        return _subpixel(spec, rng, texture)
    picture, name = _photograph(rng, texture, (spec.height, spec.width))
    moves = draw_moves(rng, spec.frames, number)
    frames = move_picture(picture, moves)
    return Made(frames, control_map(frames, spec.control), f"A {name}.", None, moves)


def draw_moves(rng: np.random.Generator, frames: int, number: int) -> tuple[Move, ...]:
    """Return T_k of each frame, of a kind by number: a steady shift, a steady turn, or a flip to and fro."""
    if number % 3 == 0:
        down, right = 0, 0
        while not (down or right):
            down, right = (int(each) for each in rng.integers(-FASTEST, FASTEST + 1, 2))
        return tuple(Move(down=k * down, right=k * right) for k in range(frames))
    way = int(rng.choice([-1, 1]))
    if number % 3 == 1:
        return tuple(Move(turns=k * way % 4) for k in range(frames))
    # Half a turn more makes it upside down instead of left to right.
    return tuple(Move(turns=1 + way, mirrored=True) if k % 2 else Move() for k in range(frames))


def move_picture(picture: Picture, moves: Sequence[Move]) -> Frames:
    """Return the frames T_k of one picture."""
    planes = torch.tensor(picture).permute(2, 0, 1)
    moved = [move.apply(planes, GEOMETRY.space_stride) for move in moves]
    return np.ascontiguousarray(torch.stack(moved).permute(0, 2, 3, 1).numpy())


def _photograph(rng: np.random.Generator, texture: Photographic, size: tuple[int, int]) -> tuple[Picture, str]:
    """A cutting of a photograph, of a size in pixels."""
    style = Style("checks", "grey", period=1.0, contrast=1.0)
    canvas, name = texture(rng, style, (float(size[0]), float(size[1])), 1.0)
    return np.ascontiguousarray(canvas.picture), name


def _subpixel(spec: DataSpec, rng: np.random.Generator, texture: Photographic) -> Made:
    """A steady shift by up to two pixels a frame, no whole number of them."""
    velocity = rng.uniform(0.2, 1.4, 2) * rng.choice([-1, 1], 2)
    margin = int(np.ceil(np.abs(velocity).max() * spec.frames)) + 2
    fine = tuple(_OVERSAMPLED * (side + 2 * margin) for side in (spec.height, spec.width))
    picture, name = _photograph(rng, texture, (fine[0], fine[1]))
    frames = np.stack([_shifted(picture, k * velocity, margin, (spec.height, spec.width)) for k in range(spec.frames)])
    forward = np.broadcast_to(velocity.astype(np.float32), (spec.frames - 1, spec.height, spec.width, 2)).copy()
    hidden = [np.stack([~in_frame(step) for step in flow]) for flow in (forward, -forward)]
    return Made(
        frames, control_map(frames, spec.control), f"A {name}.", Motion(forward, -forward, hidden[0], hidden[1])
    )


def _shifted(picture: Picture, by: np.ndarray, margin: int, size: tuple[int, int]) -> np.ndarray:
    """The picture moved by some pixels, cut out of its middle."""
    x, y = _OVERSAMPLED * (margin - by)
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float64)
    fine = (_OVERSAMPLED * size[1], _OVERSAMPLED * size[0])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    drawn = cv2.warpAffine(picture, matrix, fine, flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return cv2.resize(drawn, size[::-1], interpolation=cv2.INTER_AREA)
