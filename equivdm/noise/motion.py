"""From flow to a motion plan, and from flow straight to noise."""

from collections.abc import Collection, Sequence
from typing import TypedDict, Unpack

from equivdm.arrays import Flow, Mask, NoiseArray
from equivdm.noise.checks import Unknown, check_flow, check_frames, check_mask
from equivdm.noise.plan import MotionPlan
from equivdm.noise.planner import MotionPlanner


class MotionOptions(TypedDict, total=False):
    """What `plan_motion` may be told beside flow and grid; the defaults are in brackets."""

    per_cell: int
    """A cell starts with per_cell x per_cell particles, 1 to 16 [4]. More follow the motion more finely."""
    occlusion: Mask | None
    """Pixels of each frame that the next one hides, from a renderer for example [None]; beside the backward flow or in
    its place. With neither, a particle is dropped where its velocity jumps in a crowded place."""
    frames: Sequence[int] | None
    """Numbers of the frames to emit, strictly increasing [all]; (0, 4, 8, ...) for a video codec that is causal with a
    time stride of 4."""
    cuts: Collection[int]
    """First frames of new shots [none]. The flow that leads to one is ignored, and all of its noise is fresh."""
    unknown: Unknown
    """What to do with a vector that is not finite, or longer than the frame: "refuse" it ["refuse"], or take it for
    motion that is not known ("fresh"): the noise is fresh where it would lead."""
    threads: int
    """CPU threads [1]; their number changes no bit."""


def plan_motion(
    forward: Flow, backward: Flow | None = None, *, grid: tuple[int, int], **options: Unpack[MotionOptions]
) -> MotionPlan:
    """Follow the particles of a clip through its flow and return the plan of its noise.

    Args:
        forward: displacement in px from each frame to the next; frames are numbered 0 to its number of steps.
        backward: displacement from each frame back to the one before. With it, particles that something moves over are
            dropped by the forward-backward check.
        grid: height and width of the latent grid, cells; any size and aspect, it covers the whole frame.
        options: see `MotionOptions`.

    Raises:
        ValueError: an argument is out of its range; the message names it.
    """
    flow = check_flow("forward", forward)
    back = None if backward is None else check_flow("backward", backward, like=flow)
    occlusion = options.get("occlusion")
    mask = None if occlusion is None else check_mask("occlusion", occlusion, flow)
    chosen = frozenset(check_frames(options.get("frames"), len(flow)))
    planner = MotionPlanner(
        (flow.shape[1], flow.shape[2]),
        grid=grid,
        per_cell=options.get("per_cell", 4),
        threads=options.get("threads", 1),
    )
    steps = min(max(chosen) + 1, len(flow))  # one more than is emitted: it may show what hides a particle
    planner.extend(
        flow[:steps],
        None if back is None else back[:steps],
        occlusion=None if mask is None else mask[:steps],
        frames=chosen,
        cuts=options.get("cuts", ()),
        unknown=options.get("unknown", "refuse"),
    )
    if steps in chosen:
        planner.finish(chosen)
    return planner.take()


def warped_noise(
    forward: Flow,
    backward: Flow | None = None,
    *,
    grid: tuple[int, int],
    channels: int,
    seed: int,
    beta: float = 1.0,
    **options: Unpack[MotionOptions],
) -> NoiseArray:
    """Return noise (frames, channels, height, width), float32, that moves with the flow and is white in each frame.

    The same as `plan_motion(...).noise(seed, channels, beta=beta)`; keep the plan to draw more than once.
    """
    plan = plan_motion(forward, backward, grid=grid, **options)
    return plan.noise(seed, channels, beta=beta, threads=options.get("threads", 1))
