"""Points that are followed through a clip by its exact flow."""

import numpy as np
from jaxtyping import Float32, Float64

from equivdm.flow.motion import Motion

Points = Float64[np.ndarray, "points 2"]

Tracks = Float32[np.ndarray, "tracks time 2"]
"""(x, y) of each point in each frame."""

_ONE_MOTION = 0.3
"""Pixels by which the flow of neighbours may differ on one layer."""


def follow_points(motion: Motion, count: int, seed: int) -> Tracks:
    """Return (x, y) in pixels, in every frame, of at most `count` points that stay visible throughout.

    They begin at random whole pixels of frame 0, far enough from a layer's edge for the flow around them to be of one
    motion. Fewer come back where fewer stay.
    """
    steps, height, width = motion.forward.shape[:3]
    every = np.random.default_rng(seed).permutation(height * width)
    places = np.stack([every % width, every // width], 1).astype(np.float64)
    path, seen = [places], np.ones(len(places), bool)
    for step in range(steps):
        flow, hidden = motion.forward[step], motion.occluded_forward[step]
        moved, clear = _moved(places, flow, hidden)
        seen &= clear
        places = np.where(seen[:, None], moved, 0.0)
        path.append(places)
    return np.stack(path, 1)[seen][:count].astype(np.float32)


def _moved(places: Points, flow: np.ndarray, hidden: np.ndarray) -> tuple[Points, np.ndarray]:
    """Where points go, and whether what surrounds them is seen, and goes there too."""
    height, width = hidden.shape
    left, top = np.clip(np.floor(places.T), 0, [[width - 2], [height - 2]]).astype(int)
    across, down = places[:, :1] - left[:, None], places[:, 1:] - top[:, None]
    corners = [(top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)]
    a, b, c, d = (flow[at] for at in corners)
    upper, lower = a + across * (b - a), c + across * (d - c)
    moved = places + upper + down * (lower - upper)
    calm = (np.ptp([a, b, c, d], 0) < _ONE_MOTION).all(1) & ~np.any([hidden[at] for at in corners], 0)
    inside = ((moved >= 0) & (moved <= (width - 1, height - 1))).all(1)
    return moved, calm & inside
