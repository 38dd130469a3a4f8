"""The motion plan: which particle lies in which cell in each emitted frame. It knows no seed."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int16, Int32
from numpy.typing import DTypeLike

from equivdm.arrays import NoiseArray
from equivdm.noise.checks import check_beta, check_channels, check_seed
from equivdm.noise.columns import pack, unpack
from equivdm.noise.compiled import constant, kernel
from equivdm.noise.mix import mix
from equivdm.noise.normals import ONE, independent_frames, normal_rows
from equivdm.noise.philox import Stream

Tracks = Int32[np.ndarray, " tracks"]
Entries = Int32[np.ndarray, " entries"]

VERSION = 1
"""Format of a plan's bytes; raised when it changes, or when the noise that a plan stands for does."""


@dataclass(frozen=True, eq=False)
class MotionPlan:
    """A clip's motion on a latent grid, from which noise is drawn for any seed and number of channels.

    Made by `plan_motion`. Two plans are equal where their bytes are.
    """

    grid: tuple[int, int]
    """Height and width of the latent grid, cells."""
    frames: tuple[int, ...]
    """Numbers of the emitted frames, counted in the frames of the flow."""
    per_cell: int
    """A cell starts with per_cell x per_cell particles."""
    births: Tracks
    """Frame in which each particle came to life; with `sites` this is its label. In the order of `starts`."""
    sites: Tracks
    """Its birth site, row-major in the lattice of (height * per_cell) x (width * per_cell)."""
    starts: Tracks
    """Place in `frames` of the first emitted frame that holds the particle; never decreases."""
    stops: Tracks
    """Place in `frames` of the first emitted frame that no longer holds it, or the number of frames."""
    cells: Entries
    """Row-major cell of each particle that an emitted frame holds, frame by frame, in the order of `births`."""

    def __post_init__(self) -> None:
        """Check what the compiled kernels rely on; ValueError where a damaged plan breaks it."""
        held, last = self.stops - self.starts, self.grid[0] * self.grid[1] - 1
        sound = (
            len(self.births) == len(self.sites) == len(held)
            and int(held.min(initial=1)) >= 1
            and int(held.sum()) == len(self.cells)
            and 0 <= int(self.starts.min(initial=0)) <= int(self.stops.max(initial=0)) <= len(self.frames)
            and 0 <= int(self.cells.min(initial=0)) <= int(self.cells.max(initial=0)) <= last
        )
        if not sound:
            raise ValueError("motion plan: its columns contradict each other; make the plan again with plan_motion")

    def noise(self, seed: int, channels: int, *, beta: float = 1.0, dtype: DTypeLike = np.float32) -> NoiseArray:
        """Draw the noise of shape (emitted frames, channels, height, width); each frame is exactly white and unit.

        A pure function of the plan and the arguments. `beta` below 1 mixes in independent noise of the same seed
        (`mix`). `seed` in [0, 2^64), `channels` >= 1, else ValueError.
        """
        check_beta(beta)
        check_channels(channels)
        check_seed(seed)
        values = normal_rows(self.sites, self.births, channels, seed, Stream.VALUES)
        height, width = self.grid
        warped = np.empty((len(self.frames), channels, height * width), np.float32)
        for place, (tracks, cells) in enumerate(self.by_frame()):
            sums = np.zeros((height * width, channels), np.int32)
            _add(constant(tracks), constant(cells), values, sums)
            # Square root and division in float64, then one float32 product: rounded alike on every machine.
            scale = 1 / (ONE * np.sqrt(np.bincount(cells, minlength=height * width)))
            np.multiply(sums.T.astype(np.float32), scale.astype(np.float32), out=warped[place])
        warped = warped.reshape(-1, channels, height, width)
        if beta < 1:
            warped = mix(warped, independent_frames(self.frames, channels, self.grid, seed), beta)
        return warped.astype(dtype, copy=False)

    def by_frame(self) -> Iterator[tuple[Entries, Entries]]:
        """Yield for each emitted frame its particles, as increasing places in `births`, and their cells."""
        done = 0
        for place in range(len(self.frames)):
            tracks = np.flatnonzero((self.starts <= place) & (place < self.stops)).astype(np.int32)
            yield tracks, self.cells[done : done + len(tracks)]
            done += len(tracks)

    def to_bytes(self) -> bytes:
        """Return the plan as bytes, the same for equal plans."""
        head = np.array((*self.grid, self.per_cell, *self.frames), np.int32)
        rows, columns = np.divmod(self.cells, np.int32(self.grid[1]))
        # Neighbours mostly stay neighbours and live to the end: differences along a frame, and what is missing there.
        early = np.int32(len(self.frames)) - self.stops
        differences = [
            np.diff(each, prepend=np.int32(0)) for each in (self.births, self.sites, self.starts, rows, columns)
        ]
        return pack([head, early, *differences], VERSION)

    @classmethod
    def from_bytes(cls, data: bytes) -> "MotionPlan":
        """Return the plan that `to_bytes` wrote; ValueError for bytes that are damaged or something else."""
        unpacked = unpack(data, VERSION)
        if len(unpacked) != 7 or len(unpacked[0]) < 4:
            raise ValueError(f"motion plan: got {len(unpacked)} columns that are not those of a plan")
        head, early, *differences = unpacked
        births, sites, starts, rows, columns = (np.cumsum(each, dtype=np.int32) for each in differences)
        height, width, per_cell, *frames = head.tolist()
        stops = np.int32(len(frames)) - early
        return cls((height, width), tuple(frames), per_cell, births, sites, starts, stops, rows * width + columns)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MotionPlan) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.to_bytes())


@kernel
def _add(
    tracks: Entries,
    cells: Entries,
    values: Int16[np.ndarray, "tracks channels"],
    sums: Int32[np.ndarray, "cells channels"],
) -> None:
    """Add each particle's values to its cell, in whole numbers, so that the order does not matter."""
    for i in range(tracks.shape[0]):
        for channel in range(values.shape[1]):
            sums[cells[i], channel] += values[tracks[i], channel]
