"""Motion plans of videos of any length, chunk by chunk in constant memory, with the bits of one pass."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int32

from equivdm.noise.checks import Unknown, check_flow, check_grid, check_mask, check_threads, known
from equivdm.noise.flows import StepFlow
from equivdm.noise.lattice import Lattice
from equivdm.noise.particles import Particles
from equivdm.noise.plan import MotionPlan
from equivdm.noise.state import KEPT, State
from equivdm.noise.table import BIRTH, PATH, SITE, TRACK


@dataclass(frozen=True)
class _Emitted:
    """What a plan will say of one frame."""

    frame: int
    labels: Int32[np.ndarray, "3 fresh"]
    """Birth, site and path of the particles that no earlier frame of the plan held."""
    tracks: Int32[np.ndarray, " particles"]
    cells: Int32[np.ndarray, " particles"]


class MotionPlanner:
    """Follows the particles of a video through its flow, and hands out motion plans of the frames that are done.

    `extend` it with flow as it comes, `finish` after the last, and `take` a plan whenever one is wanted. The last frame
    that the flow leads to waits for more flow or for `finish`: what hides a particle may show in the next step only.
    `state` and `resume` carry on in another process.
    """

    def __init__(self, size: tuple[int, int], *, grid: tuple[int, int], per_cell: int = 4, threads: int = 1) -> None:
        """Begin at frame 0 of a video whose flow has `size` (height, width) px; see `plan_motion` for the rest."""
        check_grid(grid, per_cell, size)
        check_threads(threads)
        self.frame = 0
        """The frame that waits."""
        self.threads = threads
        self._particles = Particles.none(Lattice((size[0], size[1]), (grid[0], grid[1]), per_cell))
        self._particles.restart(0)
        self._moved = False  # whether the particles came to the waiting frame by motion
        self._finished = False
        self._emitted: list[_Emitted] = []
        self._noted = 0

    def extend(
        self,
        forward: Any,
        backward: Any = None,
        *,
        occlusion: Any = None,
        frames: Collection[int] | None = None,
        cuts: Collection[int] = (),
        unknown: Unknown = "refuse",
    ) -> None:
        """Go on by the steps of `forward`, an array or a tensor of the host; see `plan_motion`.

        `frames` and `cuts` count from the video's start. Raises ValueError for arguments out of range; a vector that is
        refused stops it before that step.
        """
        self._check_open()
        flow = check_flow("forward", forward, size=self.lattice.size)
        back = None if backward is None else check_flow("backward", backward, like=flow)
        mask = None if occlusion is None else check_mask("occlusion", occlusion, flow)
        flows = {"forward": flow} | ({} if back is None else {"backward": back})
        for step in range(len(flow)):
            if self.frame + 1 in cuts:
                self._close(frames, None)
                self._particles.restart(self.frame + 1)
            else:
                here, *others = known(flows, step, unknown, self.threads)
                self._close(frames, here if back is None and mask is None else None)
                hidden = None if mask is None else mask[step]
                self._particles.advance(here, others[0] if others else None, hidden, self.threads)
            self._moved = self.frame + 1 not in cuts
            self.frame += 1

    def finish(self, frames: Collection[int] | None = None) -> None:
        """Close the frame that waits; the video ends there. ValueError where it has ended already."""
        self._check_open()
        self._close(frames, None)
        self._finished = True

    def take(self) -> MotionPlan:
        """Return the plan of the frames that were closed, and asked for, since the last call; ValueError for none."""
        if not self._emitted:
            raise ValueError(f"motion plan: no frame before {self.frame} is new; extend or finish first")
        emitted, self._emitted, self._noted = self._emitted, [], 0
        self._particles[TRACK][:] = -1
        births, sites, paths = np.concatenate([each.labels for each in emitted], axis=1)
        stops = np.zeros(len(births), np.int32)
        for place, each in enumerate(emitted):
            stops[each.tracks] = place + 1
        fresh = [each.labels.shape[1] for each in emitted]
        return MotionPlan(
            grid=self.lattice.grid,
            frames=tuple(each.frame for each in emitted),
            per_cell=self.lattice.per_cell,
            births=births,
            sites=sites,
            paths=paths,
            starts=np.repeat(np.arange(len(emitted), dtype=np.int32), fresh),
            stops=stops,
            cells=np.concatenate([each.cells for each in emitted]),
        )

    @property
    def lattice(self) -> Lattice:
        """Size of the flow, latent grid, and sites to a cell."""
        return self._particles.lattice

    @property
    def state(self) -> bytes:
        """All that the rest of the video depends on, without the frames that `take` has not handed out."""
        rows = {row: self._particles[row] for row in KEPT}
        return State(self.lattice, self.frame, self._moved, self._finished, rows).to_bytes()

    @classmethod
    def resume(cls, state: bytes, *, threads: int = 1) -> "MotionPlanner":
        """Return a planner that goes on from a `state`; ValueError for bytes that are damaged or something else."""
        saved = State.from_bytes(state)
        lattice = saved.lattice
        planner = cls(lattice.size, grid=lattice.grid, per_cell=lattice.per_cell, threads=threads)
        planner.frame, planner._moved, planner._finished = saved.frame, saved.moved, saved.finished
        planner._particles.load(saved.rows)
        return planner

    def _check_open(self) -> None:
        if self._finished:
            raise ValueError(f"motion plan: the video was finished at frame {self.frame}; begin another planner")

    def _close(self, frames: Collection[int] | None, following: StepFlow | None) -> None:
        """Bring the waiting frame to its final state, and note it where it is to be emitted."""
        particles = self._particles
        if self._moved and following is not None:
            particles.cull(following)
        particles.settle(self.frame)
        if frames is not None and self.frame not in frames:
            return
        track = particles[TRACK]
        new = np.flatnonzero(track < 0)
        track[new] = np.arange(self._noted, self._noted + len(new), dtype=np.int32)
        self._noted += len(new)
        labels = np.stack([particles[row][new] for row in (BIRTH, SITE, PATH)])
        self._emitted.append(_Emitted(self.frame, labels, track.copy(), particles.cells()))
