"""The motion plan: which particle lies in which cell in each emitted frame. It knows no seed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from jaxtyping import Float32, Int32, Int64
from numpy.typing import DTypeLike

from equivdm.arrays import NoiseArray
from equivdm.compiled import constant
from equivdm.noise.cell_code import read_cells, write_cells
from equivdm.noise.checks import (
    PARTICLES_LIMIT,
    PER_CELL_LIMIT,
    SIDE_LIMIT,
    check_beta,
    check_channels,
    check_seed,
    check_threads,
)
from equivdm.noise.columns import pack, unpack
from equivdm.noise.normals import ONE, groups_of, normal_table, write_mixed
from equivdm.noise.philox import GROUP, add_values
from equivdm.noise.tensors import in_type
from equivdm.noise.tracks import DEEPEST, Columns, add_weights, first_entries
from equivdm.noise.workers import in_threads

if TYPE_CHECKING:
    import torch

Tracks = Int32[np.ndarray, " tracks"]
Entries = Int32[np.ndarray, " entries"]

VERSION = 5
"""Format of a plan's bytes; raised when it changes, or when the noise that a plan stands for does."""


@dataclass(frozen=True, eq=False)
class MotionPlan:
    """A clip's motion on a latent grid, from which noise is drawn for any seed and number of channels.

    Made by `plan_motion` or `MotionPlanner`. Two plans are equal where their bytes are.
    """

    grid: tuple[int, int]
    """Height and width of the latent grid, cells."""
    frames: tuple[int, ...]
    """Numbers of the emitted frames, counted in the frames of the flow."""
    per_cell: int
    """A cell starts with per_cell x per_cell particles."""
    births: Tracks
    """Frame in which each particle, or the first of its line, came to life. Labels are in the order of `starts`."""
    sites: Tracks
    """Its birth site, row-major in the lattice of (height * per_cell) x (width * per_cell)."""
    paths: Tracks
    """Its splits since then: 1 for none, else 4 * (path of the parent) + number of the child. With `births` and `sites`
    this is its label."""
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
            len(self.births) == len(self.sites) == len(self.paths) == len(held)
            and int(held.min(initial=1)) >= 1
            and int(held.sum()) == len(self.cells)
            and 0 <= int(self.starts.min(initial=0)) <= int(self.stops.max(initial=0)) <= len(self.frames)
            and 0 <= int(self.cells.min(initial=0)) <= int(self.cells.max(initial=0)) <= last
            and 1 <= min(self.grid) <= max(self.grid) <= SIDE_LIMIT
            and 1 <= self.per_cell <= PER_CELL_LIMIT
            and (last + 1) * self.per_cell**2 <= PARTICLES_LIMIT
            and all(a < b for a, b in pairwise(self.frames))
            and 0 <= int(self.sites.min(initial=0)) <= int(self.sites.max(initial=0)) < (last + 1) * self.per_cell**2
            and 1 <= int(self.paths.min(initial=1)) <= int(self.paths.max(initial=1)) < 2 << 2 * DEEPEST
        )
        if not sound:
            raise ValueError("motion plan: its columns contradict each other; make the plan again with plan_motion")

    @overload
    def noise(
        self, seed: int, channels: int, *, beta: float = 1.0, dtype: DTypeLike = np.float32, threads: int = 1
    ) -> NoiseArray: ...
    @overload
    def noise(
        self, seed: int, channels: int, *, beta: float = 1.0, dtype: "torch.dtype", threads: int = 1
    ) -> "torch.Tensor": ...
    def noise(self, seed: int, channels: int, *, beta: float = 1.0, dtype: Any = np.float32, threads: int = 1) -> Any:
        """Draw the noise of shape (emitted frames, channels, height, width); each frame is exactly white and unit.

        A pure function of the plan and the arguments, but for `threads`, which changes no bit. `beta` below 1 mixes in
        independent noise of the same seed (`mix`). A numpy `dtype` gives an array, one of torch (which has bfloat16) a
        tensor; both are rounded from float32. `seed` in [0, 2^64), `channels` >= 1, else ValueError.
        """
        check_beta(beta)
        check_channels(channels)
        check_seed(seed)
        check_threads(threads)
        out = np.empty((len(self.frames), channels, self.grid[0] * self.grid[1]), np.float32)
        numbers, scale, entries, columns = np.array(self.frames, np.int32), self.scale, self._entries, self._columns()

        def draw(task: tuple[tuple[int, int], tuple[int, int]]) -> None:
            groups, (first, stop) = task
            sums = np.zeros((stop - first, out.shape[2], GROUP * (groups[1] - groups[0])), np.int32)
            add_values(columns, entries, (first, stop), groups, np.uint64(seed), normal_table(), sums)
            write_mixed(sums, scale[first:stop], numbers[first:stop], groups, seed, beta, out[first:stop])

        # Two groups of channels at a time fill a cache line; where threads are more than that, one, and parts of the
        # clip beside each other.
        every = groups_of(channels)
        step = 2 if every >= 2 * threads else 1
        together = [(group, min(group + step, every)) for group in range(0, every, step)]
        parts = min(len(self.frames), -(-threads // len(together)))
        edges = [len(self.frames) * part // parts for part in range(parts + 1)]
        tasks = product(together, pairwise(edges))
        in_threads(draw, tasks, threads)
        return in_type(out.reshape(len(self.frames), channels, *self.grid), dtype)

    @cached_property
    def scale(self) -> Float32[np.ndarray, "frames cells"]:
        """What makes the sum of a cell's values unit normal: one over the root of the sum of their squared weights."""
        weights = np.zeros((len(self.frames), self.grid[0] * self.grid[1]), np.int32)
        add_weights(self._columns(), weights)
        # Square root and division in float64, then rounded once: alike on every machine.
        return (1 / (ONE * np.sqrt(weights))).astype(np.float32)

    @cached_property
    def _entries(self) -> Int64[np.ndarray, " frames"]:
        return first_entries(self._columns(), len(self.frames))

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
        # Most labels follow on the one before, and most particles live to the end.
        early = np.int32(len(self.frames)) - self.stops
        labels = (self.births, self.sites, self.paths, self.starts)
        plan = self._columns()._replace(cells=self.cells.copy())
        counts, bits = write_cells(plan, np.array(self.frames, np.int32), self.grid, self.per_cell)
        packed = np.packbits(bits).view(np.int8).astype(np.int32)
        return pack([head, early, *(np.diff(each, prepend=np.int32(0)) for each in labels), counts, packed], VERSION)

    @classmethod
    def from_bytes(cls, data: bytes) -> "MotionPlan":
        """Return the plan that `to_bytes` wrote; ValueError for bytes that are damaged or something else."""
        unpacked = unpack(data, VERSION)
        if len(unpacked) != 8 or len(unpacked[0]) < 4:
            raise ValueError(f"motion plan: got {len(unpacked)} columns that are not those of a plan")
        head, early, *labels, counts, packed = unpacked
        height, width, per_cell, *frames = head.tolist()
        births, sites, paths, starts = (np.cumsum(each, dtype=np.int32) for each in labels)
        stops = np.int32(len(frames)) - early
        held = int((stops.astype(np.int64) - starts).sum()) if len(stops) == len(starts) else -1
        length = int(counts.sum(dtype=np.int64))
        if int(counts.min(initial=0)) < 0 or len(packed) != -(-length // 8) or not 0 <= 2 * held <= length:
            raise ValueError(f"motion plan: its {len(packed)} bytes of cells are not what it says; make the plan again")
        bits = np.unpackbits(packed.astype(np.int8).view(np.uint8))[:length]
        # First with any cells, so that all else is checked before the compiled kernel relies on it.
        empty = cls(
            (height, width), tuple(frames), per_cell, births, sites, paths, starts, stops, np.zeros(held, np.int32)
        )
        plan = empty._columns()._replace(cells=np.zeros(held, np.int32))
        read_cells(plan, np.array(frames, np.int32), empty.grid, per_cell, (counts, bits))
        return replace(empty, cells=plan.cells)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MotionPlan) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.to_bytes())

    def _columns(self) -> Columns:
        columns = (self.births, self.sites, self.paths, self.starts, self.stops, self.cells)
        return Columns(*(constant(column) for column in columns))
