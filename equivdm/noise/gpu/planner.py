"""Motion plans of batches of clips on a GPU: the planner of `equivdm.noise.planner`, for tensors of the device."""

from collections.abc import Callable, Collection, Sequence
from functools import partial

import torch

from equivdm.noise.checks import Unknown, check_grid
from equivdm.noise.gpu.particles import Particles, StepFlows
from equivdm.noise.gpu.plan import DevicePlans, cell_type
from equivdm.noise.gpu.replay import Replay
from equivdm.noise.lattice import Lattice
from equivdm.noise.state import State
from equivdm.noise.table import BIRTH, PATH, SITE

Tensor = torch.Tensor
Work = Callable[[Tensor, Tensor, Collection[int]], object]
"""Fills cells at the places of the frames that are emitted; what it returns is kept until the device is done."""

_ROOM = 2  # times the initial number of particles; where a clip needs more, its chunk is done again


class DevicePlanner:
    """Follows the particles of a batch of clips through their flow, all of it on the device of the flow.

    The same calls, plans and bits as `equivdm.noise.MotionPlanner`. The host waits for the device a few times
    in each call, but not in each step.
    """

    def __init__(
        self,
        size: tuple[int, int],
        *,
        grid: tuple[int, int],
        per_cell: int = 4,
        clips: int = 1,
        device: torch.device | str = "cuda",
    ) -> None:
        """Begin at frame 0 of `clips` videos whose flow has `size` (height, width) px."""
        check_grid(grid, per_cell, size)
        lattice = Lattice((size[0], size[1]), (grid[0], grid[1]), per_cell)
        self.frame = 0
        """The frame that waits."""
        sites = lattice.sites[0] * lattice.sites[1]
        self._particles = Particles(lattice, clips, _ROOM * sites, _device(device))
        self._particles.restart()
        self._moved = False
        self._finished = False
        self._used = sites  # slots, of the clip that takes most
        self._emitted: list[tuple[tuple[int, ...], Tensor]] = []

    def extend(
        self,
        forward: Tensor,
        backward: Tensor | None = None,
        *,
        occlusion: Tensor | None = None,
        frames: Collection[int] | None = None,
        cuts: Collection[int] = (),
        unknown: Unknown = "refuse",
    ) -> None:
        """Go on by the steps of `forward`, float32 of shape (clips, steps, height, width, 2); see `plan_motions`.

        `frames` and `cuts` count from the start, and hold for every clip. Raises ValueError for arguments out of
        range, before the first step.
        """
        self._check_open()
        if not self._emitted and 2 * self._used > self._particles.capacity:
            self._particles = self._particles.compacted()
        fields = self._check(forward, backward, occlusion, unknown)
        steps = forward.shape[1]
        self._run(range(self.frame, self.frame + steps), frames, lambda *out: self._follow(fields, cuts, *out))
        self._moved = self.frame + steps not in cuts
        self.frame += steps

    def finish(self, frames: Collection[int] | None = None) -> None:
        """Close the frame that waits; the videos end there. ValueError where they have ended already."""
        self._check_open()
        self._run(
            range(self.frame, self.frame + 1),
            frames,
            lambda cells, places, emitted: self._close(cells, places, bool(emitted)),
        )
        self._finished = True

    def take(self) -> DevicePlans:
        """Return the plans of the frames that were closed, and asked for, since the last call; ValueError for none."""
        if not self._emitted:
            raise ValueError(f"motion plan: no frame before {self.frame} is new; extend or finish first")
        emitted, self._emitted = self._emitted, []
        particles = self._particles
        padded = [_padded(cells, particles.capacity) for _, cells in emitted]
        return DevicePlans(
            grid=particles.lattice.grid,
            frames=tuple(frame for frames, _ in emitted for frame in frames),
            per_cell=particles.lattice.per_cell,
            labels=particles.table[[BIRTH, SITE, PATH]],
            cells=padded[0] if len(padded) == 1 else torch.cat(padded),
        )

    @property
    def capacity(self) -> int:
        """Slots for the particles of each clip; more where a clip has needed more."""
        return self._particles.capacity

    @property
    def states(self) -> list[bytes]:
        """All that the rest of each clip depends on: the bytes of `equivdm.noise.MotionPlanner.state`."""
        flags = self.frame, self._moved, self._finished
        particles = self._particles
        return [State(particles.lattice, *flags, particles.rows(clip)).to_bytes() for clip in range(particles.clips)]

    @classmethod
    def resume(cls, states: Sequence[bytes], *, device: torch.device | str = "cuda") -> "DevicePlanner":
        """Return a planner that goes on from one state a clip, of the host's planner or one of these.

        ValueError for bytes that are damaged or something else, and for states that differ in grid or frame.
        """
        saved = [State.from_bytes(state) for state in states]
        if len(kinds := {(each.lattice, each.frame, each.moved, each.finished) for each in saved}) != 1:
            raise ValueError(f"states: got {len(kinds)} kinds of lattice and frame, wanted one")
        first = saved[0]
        size, grid, per_cell = first.lattice.size, first.lattice.grid, first.lattice.per_cell
        planner = cls(size, grid=grid, per_cell=per_cell, clips=len(saved), device=device)
        planner.frame, planner._moved, planner._finished = first.frame, first.moved, first.finished
        planner._used = max(len(each.rows[BIRTH]) for each in saved)
        planner._particles = Particles(first.lattice, len(saved), _ROOM * planner._used, _device(device))
        for clip, each in enumerate(saved):
            planner._particles.load(clip, each.rows)
        return planner

    def _check_open(self) -> None:
        if self._finished:
            raise ValueError(f"motion plan: the video was finished at frame {self.frame}; begin another planner")

    def _check(self, forward: Tensor, backward: Tensor | None, occlusion: Tensor | None, unknown: Unknown) -> StepFlows:
        clips, device, size = self._particles.clips, self._particles.device, self._particles.lattice.size
        if forward.ndim != 5 or forward.shape[1] < 1:
            raise ValueError(
                f"forward: got shape {tuple(forward.shape)}, wanted (clips, steps, height, width, 2), at least one step"
            )
        for name, flow in (("forward", forward), ("backward", backward)):
            if flow is None:
                continue
            wanted = (clips, forward.shape[1], *size, 2)
            if flow.dtype != torch.float32 or flow.shape != wanted or flow.device != device:
                got = f"{flow.dtype} of shape {tuple(flow.shape)} on {flow.device}"
                raise ValueError(f"{name}: got {got}, wanted torch.float32 of shape {wanted} on {device}")
            if unknown == "refuse":
                _check_vectors(name, flow)
        wanted = forward.shape[:4]
        if occlusion is not None and (occlusion.dtype != torch.bool or occlusion.shape != wanted):
            got = f"{occlusion.dtype} of shape {tuple(occlusion.shape)}"
            raise ValueError(f"occlusion: got {got}, wanted torch.bool of shape {tuple(wanted)}")
        mask = None if occlusion is None else occlusion.contiguous().view(torch.uint8).to(device)
        return StepFlows(forward.contiguous(), None if backward is None else backward.contiguous(), mask)

    def _run(self, numbers: range, frames: Collection[int] | None, work: Work) -> None:
        """Do `work(cells, places, emitted)` for these frames; again with more room where the slots did not suffice."""
        chosen = tuple(number for number in numbers if frames is None or number in frames)
        place_of = {number: place for place, number in enumerate(chosen)}
        places = [place_of.get(number, -1) for number in numbers]
        on_device = torch.tensor(places, dtype=torch.int32, device=self._particles.device)
        before = self._particles.copy(self._particles.capacity)
        while True:
            now = self._particles
            shape = (len(chosen), now.clips, now.capacity)
            cells = torch.full(shape, -1, dtype=cell_type(now.lattice.grid), device=now.device)
            now.set_clock(numbers.start)
            recorded = work(cells, on_device, place_of)
            needed = int(now.needed.max())  # waits for the device, as what was recorded must
            del recorded
            if needed <= now.capacity:
                break
            self._particles = before.copy(2 * needed)
        self._used = needed
        if chosen:
            self._emitted.append((chosen, cells))

    def _follow(
        self, fields: StepFlows, cuts: Collection[int], cells: Tensor, places: Tensor, emitted: Collection[int]
    ) -> list[Replay]:
        particles, moved = self._particles, self._moved

        def step(moved: bool, emits: bool) -> None:
            if moved and fields.leads_only:
                particles.cull(fields)
            self._close(cells, places, emits)
            particles.move(fields)

        replays = [Replay(partial(step, True, emits), particles.device) for emits in (False, True)]
        for frame in range(self.frame, self.frame + fields.forward.shape[1]):
            emits = frame in emitted
            if frame + 1 in cuts:
                self._close(cells, places, emits)
                particles.skip()
                particles.restart()
            elif moved:
                replays[emits]()
            else:
                step(False, emits)
            moved = frame + 1 not in cuts
        return replays

    def _close(self, cells: Tensor, places: Tensor, emits: bool) -> None:
        """Bring the waiting frame to its final state, and note it where it is to be emitted."""
        self._particles.settle()
        if emits:
            self._particles.note(cells, places)


def _device(name: torch.device | str) -> torch.device:
    """Return the device with its number, as tensors have it."""
    return torch.empty(0, device=name).device


def _padded(cells: Tensor, slots: int) -> Tensor:
    return torch.nn.functional.pad(cells, (0, slots - cells.shape[2]), value=-1)


def _check_vectors(name: str, flow: Tensor) -> None:
    height, width = flow.shape[2:4]
    limit = torch.tensor((width, height), device=flow.device)
    longest = torch.linalg.vector_norm(flow, torch.inf, dim=(0, 1, 2, 3))  # NaN where one is
    if bool((longest <= limit).all()):
        return
    clip, step, y, x, axis = (~(flow.abs() <= limit)).nonzero()[0].tolist()
    raise ValueError(
        f"{name}: got {flow[clip, step, y, x, axis]} at (clip, step, y, x, axis) {(clip, step, y, x, axis)}, wanted "
        f'finite numbers within the frame of {width}x{height} px; unknown="fresh" takes others for motion that is '
        "not known"
    )
