"""From flow to a motion plan, and from flow straight to noise."""

from collections.abc import Sequence

import numpy as np

from equivdm.arrays import Flow, NoiseArray
from equivdm.noise.checks import check_flow, check_frames, check_grid
from equivdm.noise.particles import Lattice, advanced, seeded
from equivdm.noise.plan import MotionPlan


def plan_motion(
    forward: Flow,
    backward: Flow | None = None,
    *,
    grid: tuple[int, int],
    per_cell: int = 4,
    frames: Sequence[int] | None = None,
) -> MotionPlan:
    """Follow the particles of a clip through its flow and return the plan of its noise.

    Args:
        forward: displacement in px from each frame to the next; frames are numbered 0 to its number of steps.
        backward: displacement from each frame back to the one before. With it, particles that something moves over
            are dropped; without it they stay, and the noise at the leading edge of an object is a mixture.
        grid: height and width of the latent grid, cells; any size and aspect, it covers the whole frame.
        per_cell: a cell starts with per_cell x per_cell particles, 1 to 16. More follow the motion more finely.
        frames: numbers of the frames to emit, strictly increasing; all by default, (0, 4, 8, ...) for a video
            codec that is causal with a time stride of 4.

    Raises:
        ValueError: an argument is out of its range; the message names it.
    """
    flow = check_flow("forward", forward)
    back = None if backward is None else check_flow("backward", backward, like=flow)
    size = (flow.shape[1], flow.shape[2])
    check_grid(grid, per_cell, size)
    chosen = check_frames(frames, len(flow))
    return _follow(Lattice(size, (grid[0], grid[1]), per_cell), flow, back, chosen)


def warped_noise(
    forward: Flow,
    backward: Flow | None = None,
    *,
    grid: tuple[int, int],
    channels: int,
    seed: int,
    per_cell: int = 4,
    frames: Sequence[int] | None = None,
    beta: float = 1.0,
) -> NoiseArray:
    """Return noise (frames, channels, height, width), float32, that moves with the flow and is white in each frame.

    The same as `plan_motion(...).noise(seed, channels, beta=beta)`; keep the plan to draw more than once.
    """
    plan = plan_motion(forward, backward, grid=grid, per_cell=per_cell, frames=frames)
    return plan.noise(seed, channels, beta=beta)


def _follow(lattice: Lattice, forward: Flow, backward: Flow | None, frames: tuple[int, ...]) -> MotionPlan:
    """Carry the particles to the last emitted frame, noting labels and cells in each emitted one."""
    particles, noted = seeded(lattice), 0
    fresh, emitted = [], []
    for frame in range(frames[-1] + 1):
        if frame:
            back = None if backward is None else backward[frame - 1]
            particles = advanced(lattice, particles, frame, forward[frame - 1], back)
        if frame in frames:
            fresh.append(particles.where(particles.track < 0))
            particles = particles.tracked(noted)
            noted += len(fresh[-1].track)
            emitted.append((particles.track, lattice.cell_of(particles.block)))
    stops = np.zeros(noted, np.int32)
    for place, (tracks, _) in enumerate(emitted):
        stops[tracks] = place + 1
    return MotionPlan(
        grid=lattice.grid,
        frames=frames,
        per_cell=lattice.per_cell,
        births=np.concatenate([each.birth for each in fresh]),
        sites=np.concatenate([each.site for each in fresh]),
        starts=np.repeat(np.arange(len(frames), dtype=np.int32), [len(each.track) for each in fresh]),
        stops=stops,
        cells=np.concatenate([cells for _, cells in emitted]),
    )
