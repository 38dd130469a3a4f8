"""Motion plans of a batch of clips on a GPU, and the noise that is drawn from them there."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from math import sqrt

import numpy as np
import torch
from jaxtyping import Float, Int, Int32

from equivdm.noise.checks import check_beta, check_channels, check_seed
from equivdm.noise.gpu.kernels import draws, launch
from equivdm.noise.normals import ONE, groups_of, normal_table
from equivdm.noise.philox import GROUP
from equivdm.noise.plan import MotionPlan

Tensor = torch.Tensor

SLOTS = 256
"""Slots that one program of a kernel works on."""
_CELLS = 256


@dataclass(frozen=True, eq=False)
class DevicePlans:
    """The motion of a batch of clips on one latent grid, on one device: what `MotionPlan` is on the host.

    Made by `plan_motions`, `DevicePlanner` or `from_plans`; `plans` brings them to the host.
    """

    grid: tuple[int, int]
    """Height and width of the latent grid, cells."""
    frames: tuple[int, ...]
    """Numbers of the emitted frames, the same for every clip."""
    per_cell: int
    """A cell starts with per_cell x per_cell particles."""
    labels: Int32[Tensor, "3 clips slots"]
    """Birth, site and path of each particle; see `MotionPlan`."""
    cells: Int[Tensor, "frames clips slots"]
    """Row-major cell of each particle in each emitted frame, -1 where the frame does not hold it."""

    def __len__(self) -> int:
        return self.labels.shape[1]

    def noise(
        self,
        seeds: Sequence[int],
        channels: int,
        *,
        beta: float = 1.0,
        dtype: torch.dtype = torch.float32,
        threads: int = 1,
    ) -> Float[Tensor, "clips frames channels rows columns"]:
        """Draw noise of shape (clips, emitted frames, channels, height, width), one seed a clip.

        The bits of `MotionPlan.noise`, which says what the arguments mean; `threads` are the host's, and mean nothing
        here. ValueError where one is out of its range.
        """
        del threads
        check_beta(beta)
        check_channels(channels)
        for seed in seeds:
            check_seed(seed)
        if len(seeds) != len(self):
            raise ValueError(f"seeds: got {len(seeds)}, wanted one for each of {len(self)} clips")
        clips, frames, grid_cells = len(self), len(self.frames), self.grid[0] * self.grid[1]
        bands, slots, device = groups_of(channels), self.cells.shape[2], self.labels.device
        keys = torch.from_numpy(np.array(seeds, np.uint64).view(np.int32)).to(device)
        sums = torch.zeros(clips, frames, bands, grid_cells, GROUP // 2, dtype=torch.int64, device=device)
        births, sites, paths = self.labels
        launch(
            draws.add_values,
            (-(-slots // SLOTS), bands, clips),
            births,
            sites,
            paths,
            self.cells,
            keys,
            _table(device),
            sums,
            frames,
            grid_cells,
            slots,
            SLOTS=SLOTS,
        )
        out = torch.empty(clips, frames, channels, *self.grid, device=device)
        launch(
            draws.write_noise, (-(-grid_cells // _CELLS), frames * bands, clips),
            sums, self.scale, self._numbers, keys, _table(device), out, frames, channels, grid_cells,
            float(np.float32(beta)), float(np.float32(sqrt(1 - beta * beta)) / np.float32(ONE)),
            MIXED=beta < 1, CELLS=_CELLS,
        )  # fmt: skip
        return out.to(dtype)

    @cached_property
    def scale(self) -> Float[Tensor, "clips frames cells"]:
        """What makes the sum of a cell's values unit normal; see `MotionPlan.scale`."""
        clips, frames, grid_cells, slots = len(self), len(self.frames), self.grid[0] * self.grid[1], self.cells.shape[2]
        weights = torch.zeros(clips, frames, grid_cells, dtype=torch.int32, device=self.labels.device)
        launch(
            draws.add_weights,
            (-(-slots // SLOTS), frames, clips),
            self.labels[2],
            self.cells,
            weights,
            frames,
            grid_cells,
            slots,
            SLOTS=SLOTS,
        )
        return (1 / (ONE * weights.double().sqrt())).float()

    @cached_property
    def _numbers(self) -> Tensor:
        return torch.tensor(self.frames, dtype=torch.int32, device=self.labels.device)

    @property
    def plans(self) -> list[MotionPlan]:
        """The plan of each clip on the host, equal to the one made there."""
        labels, cells = self.labels.cpu().numpy(), self.cells.cpu().numpy()
        return [self._plan(labels[:, clip], cells[:, clip]) for clip in range(len(self))]

    def _plan(self, labels: Int32[np.ndarray, "3 slots"], cells: Int[np.ndarray, "frames slots"]) -> MotionPlan:
        held = cells >= 0
        first, last = held.argmax(0), len(cells) - held[::-1].argmax(0)
        order = np.argsort(first, kind="stable")
        order = order[np.any(held, axis=0)[order]]
        births, sites, paths = (row[order] for row in labels)
        starts, stops = (column[order].astype(np.int32) for column in (first, last))
        ordered = cells[:, order]
        entries = ordered[ordered >= 0].astype(np.int32)  # row by row: frame by frame
        return MotionPlan(self.grid, self.frames, self.per_cell, births, sites, paths, starts, stops, entries)

    @classmethod
    def from_plans(cls, plans: Sequence[MotionPlan], device: torch.device | str) -> "DevicePlans":
        """Bring plans of one grid and the same frames to a device; ValueError where they differ in those."""
        kinds = {(plan.grid, plan.frames, plan.per_cell) for plan in plans}
        if len(kinds) != 1:
            raise ValueError(f"plans: got {len(kinds)} kinds of grid, frames and per_cell, wanted one")
        ((grid, frames, per_cell),) = kinds
        slots = max(len(plan.births) for plan in plans)
        labels = np.zeros((3, len(plans), slots), np.int32)
        cells = np.full((len(frames), len(plans), slots), -1, np.int32)
        for clip, plan in enumerate(plans):
            labels[:, clip, : len(plan.births)] = plan.births, plan.sites, plan.paths
            for place, (tracks, entries) in enumerate(plan.by_frame()):
                cells[place, clip, tracks] = entries
        narrow = torch.from_numpy(cells).to(cell_type(grid))
        return cls(grid, frames, per_cell, torch.from_numpy(labels).to(device), narrow.to(device))


@dataclass(frozen=True, eq=False)
class DevicePlan:
    """The motion of one clip on a device: a batch of one, with the calls of `MotionPlan`."""

    batch: DevicePlans

    def noise(
        self, seed: int, channels: int, *, beta: float = 1.0, dtype: torch.dtype = torch.float32, threads: int = 1
    ) -> Float[Tensor, "frames channels rows columns"]:
        """Draw noise of shape (emitted frames, channels, height, width); see `DevicePlans.noise`."""
        return self.batch.noise([seed], channels, beta=beta, dtype=dtype, threads=threads)[0]

    @property
    def plan(self) -> MotionPlan:
        """The plan on the host."""
        return self.batch.plans[0]


def cell_type(grid: tuple[int, int]) -> torch.dtype:
    """Return the smallest type that holds the number of a cell."""
    return torch.int16 if grid[0] * grid[1] <= 1 << 15 else torch.int32


@cache
def _table(device: torch.device) -> Tensor:
    return torch.from_numpy(normal_table().copy()).to(device)
