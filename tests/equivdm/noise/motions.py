"""Flows with a known motion, and what a plan says about it without drawing any noise."""

from collections.abc import Callable

import numpy as np

from equivdm.noise import MotionPlan
from equivdm.types import Flow

Affine = np.ndarray
"""A 2 x 3 matrix that takes (x, y, 1) of one frame to (x, y) of the next, px."""


def turn(size: tuple[int, int], degrees: float = 0, zoom: float = 1) -> Affine:
    """Return the turn and zoom about the middle of a frame of size (height, width)."""
    angle = np.deg2rad(degrees)
    linear = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return _about_middle(size, linear)


def shear(size: tuple[int, int], amount: float) -> Affine:
    """Return the shear along x about the middle of the frame."""
    return _about_middle(size, np.array([[1, amount], [0, 1.0]]))


def shift(dx: float, dy: float) -> Affine:
    """Return the translation by (dx, dy) px."""
    return np.array([[1, 0, dx], [0, 1, dy]], np.float64)


def _about_middle(size: tuple[int, int], linear: np.ndarray) -> Affine:
    middle = np.array([size[1] / 2, size[0] / 2])
    return np.column_stack([linear, middle - linear @ middle])


def affine_flow(size: tuple[int, int], steps: int, motion: Affine) -> Flow:
    """Return the flow of the same affine motion in every step; pixel i has its centre at i + 1/2."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]] + 0.5
    moved = np.stack([x, y, np.ones_like(x)], -1) @ motion.T
    step = (moved - np.stack([x, y], -1)).astype(np.float32)
    return np.repeat(step[None], steps, 0)


def smooth_flow(size: tuple[int, int], steps: int, seed: int, strength: float = 2.0) -> Flow:
    """Return a random flow of a few waves each way, `strength` px strong, new in each step."""
    generator = np.random.default_rng(seed)
    y, x = (np.mgrid[0 : size[0], 0 : size[1]].T / np.array(size)).T
    waves = generator.normal(size=(steps, 2, 4, 4))
    rows = np.stack([np.cos(np.pi * k * y[:, 0]) for k in range(4)])
    columns = np.stack([np.cos(np.pi * k * x[0]) for k in range(4)])
    flow = np.einsum("tcab,ay,bx->tyxc", waves, rows, columns)
    return (strength * flow / flow.std()).astype(np.float32)


def coverage(plan: MotionPlan) -> np.ndarray:
    """Return the number of particles in each cell of each emitted frame, of shape (frames, height, width)."""
    cells = plan.grid[0] * plan.grid[1]
    counts = [np.bincount(cell, minlength=cells) for _, cell in plan.by_frame()]
    return np.reshape(counts, (-1, *plan.grid))


def tracking(plan: MotionPlan, place: int, motion: Affine) -> float:
    """Return the mean correlation of the noise at emitted frame `place` with that of the first, along `motion`.

    `motion` leads from the first frame to that one, in cells. A cell is compared with the one its middle came from; the
    correlation of two cells is the material that they share over the root of the product of what they hold, where a
    particle of depth d counts 1 / 4^d.
    """
    frames = list(plan.by_frame())
    roots = plan.births * (plan.grid[0] * plan.grid[1] * plan.per_cell**2) + plan.sites
    first = np.full(roots.max() + 1, -1)
    first[roots[frames[0][0]]] = frames[0][1]
    tracks, cells = frames[place]
    held = (plan.scale * 2.0**12) ** -2.0
    before, after = (held[each].reshape(plan.grid) / 4.0**6 for each in (0, place))
    material = 4.0 ** -((np.frexp(plan.paths[tracks])[1] - 1) // 2)
    return _tracking(first[roots[tracks]], cells, material, (before, after), motion)


def ideal_tracking(grid: tuple[int, int], motion: Affine, fine: int = 24) -> float:
    """Return the same for continuous white noise carried along exactly: `fine` x `fine` scattered points to a cell."""
    margin = max(grid) // 2
    shape = ((grid[0] + 2 * margin) * fine, (grid[1] + 2 * margin) * fine)
    scatter = np.random.default_rng(0).random((2, *shape))
    y, x = ((np.mgrid[0 : shape[0], 0 : shape[1]] + scatter) / fine - margin).reshape(2, -1)
    moved = motion @ np.stack([x, y, np.ones_like(x)])
    inside = _inside(moved[0], moved[1], grid)
    came = np.where(_inside(x, y, grid), np.floor(y) * grid[1] + np.floor(x), -1)[inside].astype(int)
    went = (np.floor(moved[1]) * grid[1] + np.floor(moved[0]))[inside].astype(int)
    size = grid[0] * grid[1]
    held = np.full(grid, fine**2), np.bincount(went, minlength=size).reshape(grid)
    return _tracking(came, went, np.ones(len(went)), held, motion)


def _tracking(
    came: np.ndarray, went: np.ndarray, material: np.ndarray, held: tuple[np.ndarray, np.ndarray], motion: Affine
) -> float:
    before, after = held
    height, width = before.shape
    linear = np.linalg.inv(motion[:, :2])
    y, x = np.mgrid[0:height, 0:width] + 0.5
    source_x, source_y = np.floor(np.tensordot(linear, np.stack([x - motion[0, 2], y - motion[1, 2]]), 1)).astype(int)
    # Within the largest disc in the frame: what turns out of the frame and in again is lost to the particles only.
    disc = (x - width / 2) ** 2 + (y - height / 2) ** 2 < (min(width, height) / 2 - 1) ** 2
    seen = _inside(source_x, source_y, (height, width)) & disc
    source = np.where(seen, source_y * width + source_x, -2).ravel()
    same = came == source[went]
    shared = np.bincount(went[same], material[same], minlength=height * width).reshape(height, width)
    scale = np.maximum(1e-9, np.sqrt(before.ravel()[np.maximum(source, 0)].reshape(height, width) * after))
    return float((shared / scale)[seen].mean())


def _inside(x: np.ndarray, y: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    return (x >= 0) & (y >= 0) & (x < grid[1]) & (y < grid[0])


def composed(motion: Affine, steps: int, stride: float) -> Affine:
    """Return the motion of `steps` steps, in cells of `stride` px."""
    whole = np.linalg.matrix_power(np.vstack([motion, [0, 0, 1]]), steps)[:2]
    return np.column_stack([whole[:, :2], whole[:, 2] / stride])


SIZE = (96, 128)
GRID = (12, 16)
MOTIONS: dict[str, Callable[[], Flow]] = {
    "still": lambda: np.zeros((6, *SIZE, 2), np.float32),
    "turn": lambda: affine_flow(SIZE, 6, turn(SIZE, degrees=4)),
    "zoom_in": lambda: affine_flow(SIZE, 6, turn(SIZE, zoom=1.08)),
    "zoom_out": lambda: affine_flow(SIZE, 6, turn(SIZE, zoom=0.92)),
    "shear": lambda: affine_flow(SIZE, 6, shear(SIZE, 0.06)),
    "subpixel": lambda: affine_flow(SIZE, 6, shift(0.37, -0.21)),
    "random": lambda: smooth_flow(SIZE, 6, seed=3, strength=4),
}
"""Flows of six steps on a small frame, by name."""
