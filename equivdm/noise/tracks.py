"""The columns of a motion plan, and what follows from them without drawing."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, Int64

from equivdm.compiled import kernel

Tracks = Int32[np.ndarray, " tracks"]
Entries = Int64[np.ndarray, " frames"]

DEEPEST = 6
"""Splits in a row: each quarters the material that a particle stands for, so six let a zoom reach 64."""


class Columns(NamedTuple):
    """The columns of a `MotionPlan`, which says what they hold: one entry a track, but for the cells."""

    births: Tracks
    sites: Tracks
    paths: Tracks
    starts: Tracks
    stops: Tracks
    cells: Int32[np.ndarray, " entries"]


@kernel
def first_entries(plan: Columns, frames: int) -> Entries:
    """Return the place in `plan.cells` where each emitted frame begins."""
    # Tracks that begin less those that end, summed up to what a frame holds, and those up to where it begins.
    change = np.zeros(frames + 1, np.int64)
    for i in range(plan.starts.shape[0]):
        change[plan.starts[i]] += 1
        change[plan.stops[i]] -= 1
    entries = np.zeros(frames, np.int64)
    held = 0
    for frame in range(frames - 1):
        held += change[frame]
        entries[frame + 1] = entries[frame] + held
    return entries


@kernel
def add_weights(plan: Columns, weights: Int32[np.ndarray, "frames cells"]) -> None:
    """Add each particle's squared weight, 4^-depth, to the cells it lies in, in units of 4^-DEEPEST."""
    entries = first_entries(plan, weights.shape[0])
    for i in range(plan.starts.shape[0]):
        square, path = 1 << 2 * DEEPEST, plan.paths[i]
        while path > 3:
            square, path = square >> 2, path >> 2
        for frame in range(plan.starts[i], plan.stops[i]):
            weights[frame, plan.cells[entries[frame]]] += square
            entries[frame] += 1
