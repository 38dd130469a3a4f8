"""What the rest of a video depends on, as bytes: a planner saves it, and another goes on, on the host or on a GPU."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32

from equivdm.noise.checks import check_grid
from equivdm.noise.columns import pack, unpack
from equivdm.noise.lattice import PIXEL, Lattice
from equivdm.noise.table import BIRTH, PATH, SITE, U, V, X, Y

VERSION = 3
"""Format of a state's bytes; raised when it changes, or when what follows from a state does."""

KEPT = (X, Y, U, V, BIRTH, SITE, PATH)
"""Rows of a table of particles that a state keeps; the others follow from them."""

_HEAD = 8


@dataclass(frozen=True)
class State:
    """A planner between two steps, without the frames that it has not handed out."""

    lattice: Lattice
    frame: int
    """The frame that waits."""
    moved: bool
    """Whether the particles came to it by motion."""
    finished: bool
    rows: dict[int, Int32[np.ndarray, " particles"]]
    """The rows `KEPT` of the particles that are alive, in order."""

    def to_bytes(self) -> bytes:
        """Return the state as bytes, the same for equal states."""
        lattice = self.lattice
        head = (*lattice.size, *lattice.grid, lattice.per_cell, self.frame, self.moved, self.finished)
        columns = (np.diff(self.rows[row], prepend=np.int32(0)) for row in KEPT)
        return pack([np.array(head, np.int32), *columns], VERSION)

    @classmethod
    def from_bytes(cls, data: bytes) -> "State":
        """Return the state that `to_bytes` wrote; ValueError for bytes that are damaged or something else."""
        head, *columns = unpack(data, VERSION)
        if len(head) != _HEAD or len(columns) != len(KEPT) or len({len(column) for column in columns}) != 1:
            raise ValueError(f"motion plan: got {len(columns)} columns that are not those of a planner's state")
        height, width, rows, cells, per_cell, frame, moved, finished = head.tolist()
        check_grid((rows, cells), per_cell, (height, width))
        kept = {row: np.cumsum(each, dtype=np.int32) for row, each in zip(KEPT, columns, strict=True)}
        for row, pixels in ((X, width), (Y, height)):  # the compiled kernels rely on it
            if not 0 <= int(kept[row].min(initial=0)) <= int(kept[row].max(initial=0)) < pixels * PIXEL:
                raise ValueError("motion plan: the planner's state has particles outside its frame; make it again")
        return cls(Lattice((height, width), (rows, cells), per_cell), frame, bool(moved), bool(finished), kept)
