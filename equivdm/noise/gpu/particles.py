"""Particles of a batch of clips on a GPU, carried on without a word to the host."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Int32

from equivdm.noise.gpu.kernels import births, launch, steps
from equivdm.noise.lattice import Lattice
from equivdm.noise.particles import Particles as OnHost
from equivdm.noise.state import KEPT
from equivdm.noise.table import BLOCK

SLOTS = 512
"""Slots, or blocks, that one program of a kernel works on."""
ROWS = 9
_CHUNK = 1024

Tensor = torch.Tensor


@dataclass(frozen=True)
class StepFlows:
    """The fields that a chunk of video is carried on by, each of shape (clips, steps, height, width, ...)."""

    forward: Tensor
    backward: Tensor | None
    mask: Tensor | None

    @property
    def leads_only(self) -> bool:
        """Whether what hides a particle can show in the next step only."""
        return self.backward is None and self.mask is None


class Particles:
    """The particles of `clips` clips on one lattice, in slots; see `equivdm.noise.gpu.kernels.steps`.

    Everything happens on the device, in the order of calls, and nothing is read back: `stops` (slots in use) and
    `needed` (slots that there should have been) are for who can wait.
    """

    def __init__(self, lattice: Lattice, clips: int, capacity: int, device: torch.device) -> None:
        """Make room for `capacity` particles a clip; there are none yet."""
        if clips * capacity * ROWS >= 1 << 31:
            raise ValueError(f"clips: got {clips} with room for {capacity} particles each; wanted fewer at a time")
        self.lattice, self.clips, self.capacity, self.device = lattice, clips, capacity, device
        self.blocks = lattice.blocks[0] * lattice.blocks[1]
        self.cells = lattice.grid[0] * lattice.grid[1]
        self.sites = lattice.sites[0] * lattice.sites[1]
        self._slot_programs = _quotient(max(capacity, self.sites), SLOTS)
        self._block_programs = _quotient(self.blocks, SLOTS)
        self.table = self._zeros(ROWS, clips, capacity)
        self.table[BLOCK] = -1
        self.stops, self.needed, self._behind = self._zeros(3, clips)
        self.clock = self._zeros(3)
        self.counts, self._thinned, self._calm, self._ranks, self._kept = self._zeros(5, clips, self.blocks)
        self._split = self._zeros(clips, self.cells)
        self._fills = self._zeros(clips, self._block_programs)
        self._parents = self._zeros(clips, self._slot_programs)
        self._jumped = torch.zeros(clips, capacity, dtype=torch.int8, device=device)
        self._spread = _spread(lattice, device)

    def restart(self) -> None:
        """Drop all and give birth to one at every site, as at the start of a shot, at the frame of the clock."""
        self.counts.zero_()
        launch(
            births.restart, self._slot_grid,
            self.table, self.stops, self.counts, self.clock, *self._sides, self.capacity,
            SIDE=self.lattice.per_block, SLOTS=SLOTS,
        )  # fmt: skip
        self.stops += self.sites
        torch.maximum(self.needed, self.stops, out=self.needed)
        self.stops.clamp_(max=self.capacity)

    def cull(self, fields: StepFlows) -> None:
        """Drop what something has moved over, by the forward flow of the step at hand."""
        nominal = self.lattice.per_block**2
        launch(
            steps.find_jumps, self._slot_grid,
            self.table, self.stops, self.counts, self._calm, self._jumped, self.clock, fields.forward,
            fields.forward.shape[1], *self.lattice.size, self.blocks, nominal, self.capacity, SLOTS=SLOTS,
        )  # fmt: skip
        launch(
            steps.drop_jumps, self._slot_grid,
            self.table, self.stops, self.counts, self._calm, self._jumped, self.blocks, nominal, self.capacity,
            SLOTS=SLOTS,
        )  # fmt: skip

    def settle(self) -> None:
        """Thin crowded blocks, split the particles of cells that zoom thins out, and fill what is bare."""
        lattice, halves = self.lattice, self.lattice.halves
        rows, columns = lattice.blocks
        launch(
            steps.thin, self._slot_grid,
            self.table, self.stops, self.counts, self._thinned, self.clock, self.blocks, lattice.per_block**2,
            self.capacity, SLOTS=SLOTS,
        )  # fmt: skip
        launch(
            births.mark_parents, self._slot_grid,
            self.table, self.stops, self.counts, self._thinned, self._split, self._parents, self.blocks, columns,
            lattice.per_cell, self.capacity, HALVES=halves, SLOTS=SLOTS,
        )  # fmt: skip
        launch(
            births.split_parents, self._slot_grid,
            self.table, self.stops, self._behind, self.needed, self._split, self._parents, self._spread, self.counts,
            *self._sides, self.capacity, HALVES=halves, SLOTS=SLOTS, CHUNK=_CHUNK,
        )  # fmt: skip
        launch(
            births.find_bare, self._block_grid,
            self.counts, self._thinned, self._split, self._ranks, self._fills, rows, columns,
            HALVES=halves, SLOTS=SLOTS,
        )  # fmt: skip
        launch(
            births.fill, self._block_grid,
            self.table, self._behind, self.stops, self.needed, self._ranks, self._fills, self.counts, self._thinned,
            self._calm, self._kept, self._split, self.clock, *self._sides, self.capacity,
            HALVES=halves, SIDE=lattice.per_block, SLOTS=SLOTS, CHUNK=_CHUNK,
        )  # fmt: skip

    def note(self, cells: Tensor, places: Tensor) -> None:
        """Write into `cells` (emitted frames, clips, capacity) at the place that `places` has for the step at hand."""
        constants = {"HALVES": self.lattice.halves, "SIDE": self.lattice.per_block, "SLOTS": SLOTS}
        launch(
            steps.find_kept, self._slot_grid,
            self.table, self.stops, self._kept, *self._sides, self.capacity, **constants,
        )  # fmt: skip
        launch(
            steps.note, self._slot_grid,
            self.table, self.stops, cells, self._kept, places, self.clock, *self._sides, self.capacity, **constants,
        )  # fmt: skip

    def move(self, fields: StepFlows) -> None:
        """Move them by the step at hand, drop what is lost on the way, and set the clock on; after `settle`."""
        backward = fields.forward if fields.backward is None else fields.backward
        mask = fields.forward if fields.mask is None else fields.mask
        launch(
            steps.move, self._slot_grid,
            self.table, self.stops, self.counts, self.clock, fields.forward, backward, mask,
            fields.forward.shape[1], *self._sides, self.capacity,
            TWO_WAYS=fields.backward is not None, MASKED=fields.mask is not None, SLOTS=SLOTS,
        )  # fmt: skip

    # Between steps, with a word to the host

    def skip(self) -> None:
        """Set the clock on over a step without motion."""
        self.clock += 1

    def set_clock(self, frame: int) -> None:
        """Set the clock to the first step of a chunk, which leads on from `frame`."""
        self.clock.copy_(torch.tensor([0, frame, 0], dtype=torch.int32))

    def copy(self, capacity: int) -> "Particles":
        """Return a copy in the same slots, with room for `capacity` a clip."""
        other = Particles(self.lattice, self.clips, capacity, self.device)
        other.table[:, :, : self.capacity] = self.table
        return other._with(self.counts, self.stops)

    def compacted(self) -> "Particles":
        """Return a copy of those that are alive, in order, in slots without gaps."""
        other = Particles(self.lattice, self.clips, self.capacity, self.device)
        alive = [self.alive(clip) for clip in range(self.clips)]
        for clip, slots in enumerate(alive):
            other.table[:, clip, : len(slots)] = self.table[:, clip, slots]
        return other._with(self.counts, torch.tensor([len(slots) for slots in alive]))

    def _with(self, counts: Tensor, stops: Tensor) -> "Particles":
        for into, what in ((self.counts, counts), (self.stops, stops), (self.needed, stops)):
            into.copy_(what)
        return self

    def alive(self, clip: int) -> Tensor:
        """Return the slots of a clip's particles, in order."""
        return torch.nonzero(self.table[BLOCK, clip] >= 0).flatten()

    def rows(self, clip: int) -> dict[int, Int32[np.ndarray, " particles"]]:
        """Return what a planner's state keeps of a clip, by the rows of `equivdm.noise.table`."""
        kept = self.table[:, clip, self.alive(clip)].cpu().numpy()
        return {row: kept[row] for row in KEPT}

    def load(self, clip: int, rows: dict[int, Int32[np.ndarray, " particles"]]) -> None:
        """Take the given rows for those of all particles of a clip, which has none yet."""
        loaded = OnHost.none(self.lattice)
        loaded.load(rows)
        number = loaded.filled
        self.table[:, clip, :number] = torch.from_numpy(loaded.table[:ROWS, :number])
        self.stops[clip] = self.needed[clip] = number
        self.counts[clip] = torch.from_numpy(loaded.counts)

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.int32, device=self.device)

    @property
    def _sides(self) -> tuple[int, int, int, int]:
        return *self.lattice.size, *self.lattice.blocks

    @property
    def _slot_grid(self) -> tuple[int, int]:
        return self._slot_programs, self.clips

    @property
    def _block_grid(self) -> tuple[int, int]:
        return self._block_programs, self.clips


@lru_cache(maxsize=8)
def _spread(lattice: Lattice, device: torch.device) -> Tensor:
    """Return for each number of particles in a cell what `Lattice.spread` says of it: no square root on the device."""
    numbers = np.arange(1, lattice.per_cell**2 + 1)
    table = np.stack(lattice.spread(np.maximum(1, np.concatenate([[0], numbers]))), axis=1)
    return torch.from_numpy(table).to(device)


def _quotient(number: int, divisor: int) -> int:
    return -(-number // divisor)
