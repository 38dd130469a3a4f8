"""From flow to a motion plan, and from flow straight to noise: of one clip or a batch, on the host or a GPU."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast, overload

import numpy as np

from equivdm.arrays import Flow
from equivdm.noise.batch import MotionPlans
from equivdm.noise.checks import check_flow, check_threads
from equivdm.noise.options import MotionOptions, follow
from equivdm.noise.plan import MotionPlan
from equivdm.noise.planner import MotionPlanner
from equivdm.noise.tensors import is_tensor, on_device
from equivdm.noise.workers import in_threads

if TYPE_CHECKING:
    import torch

    from equivdm.noise.gpu.plan import DevicePlan, DevicePlans

Array = TypeVar("Array")
"""A numpy array or a torch tensor: what comes out is of the kind, and on the device, of what goes in."""


@overload
def plan_motion(
    forward: Flow, backward: Flow | None = None, *, grid: tuple[int, int], **options: Unpack[MotionOptions]
) -> MotionPlan: ...
@overload
def plan_motion(
    forward: "torch.Tensor",
    backward: "torch.Tensor | None" = None,
    *,
    grid: tuple[int, int],
    **options: Unpack[MotionOptions],
) -> "MotionPlan | DevicePlan": ...
def plan_motion(
    forward: Any, backward: Any = None, *, grid: tuple[int, int], **options: Unpack[MotionOptions]
) -> "MotionPlan | DevicePlan":
    """Follow the particles of a clip through its flow and return the plan of its noise.

    Args:
        forward: displacement in px from each frame to the next, float32 of shape (steps, height, width, 2); frames are
            numbered 0 to its number of steps. A numpy array or a tensor. A tensor on a GPU is planned there, and the
            plan draws its noise there: a `equivdm.noise.gpu.plan.DevicePlan`.
        backward: displacement from each frame back to the one before. With it, particles that something moves over are
            dropped by the forward-backward check.
        grid: height and width of the latent grid, cells; any size and aspect, it covers the whole frame.
        options: see `MotionOptions`.

    Raises:
        ValueError: an argument is out of its range; the message names it.
    """
    if on_device(forward):
        from equivdm.noise.gpu.motion import plan_one_on_device

        return plan_one_on_device(forward, backward, grid, **options)
    flow = check_flow("forward", forward)
    planner = MotionPlanner(
        (flow.shape[1], flow.shape[2]),
        grid=grid,
        per_cell=options.get("per_cell", 4),
        threads=options.get("threads", 1),
    )
    follow(planner, flow, backward, options)
    return planner.take()


def plan_motions(
    forward: Any, backward: Any = None, *, grid: tuple[int, int], **options: Unpack[MotionOptions]
) -> "MotionPlans | DevicePlans":
    """Return the plans of a batch of clips: `plan_motion` with one more axis, that of clips, before all others.

    The fields have shape (clips, steps, height, width, 2); `frames` and `cuts` hold for every clip. Each clip has the
    bits that it has by itself.
    """
    if on_device(forward):
        from equivdm.noise.gpu.motion import plan_on_device

        return plan_on_device(forward, backward, grid, **options)
    return MotionPlans(_plan_each(forward, backward, grid, **options))


def warped_noise(
    forward: Array,
    backward: Array | None = None,
    *,
    grid: tuple[int, int],
    channels: int,
    seed: int,
    beta: float = 1.0,
    dtype: Any = None,
    **options: Unpack[MotionOptions],
) -> Array:
    """Return noise (frames, channels, height, width) that moves with the flow and is white in each frame.

    The same as `plan_motion(...).noise(seed, channels, beta=beta, dtype=dtype)`, with float32 for no `dtype`; keep the
    plan to draw more than once. A tensor in gives a tensor out, on the same device.
    """
    plan: Any = plan_motion(cast(Any, forward), cast(Any, backward), grid=grid, **options)
    return plan.noise(seed, channels, beta=beta, dtype=_dtype(dtype, forward), threads=options.get("threads", 1))


def warped_noises(
    forward: Array,
    backward: Array | None = None,
    *,
    grid: tuple[int, int],
    channels: int,
    seeds: Sequence[int],
    beta: float = 1.0,
    dtype: Any = None,
    **options: Unpack[MotionOptions],
) -> Array:
    """Return noise (clips, frames, channels, height, width) of a batch of clips, one seed a clip; see `warped_noise`.

    Clips of the same motion and seed have the same noise: give each its own.
    """
    plans: Any = plan_motions(forward, backward, grid=grid, **options)
    return plans.noise(seeds, channels, beta=beta, dtype=_dtype(dtype, forward), threads=options.get("threads", 1))


def _plan_each(
    forward: Any, backward: Any, grid: tuple[int, int], **options: Unpack[MotionOptions]
) -> tuple[MotionPlan, ...]:
    fields = {"forward": forward, "backward": backward, "occlusion": options.pop("occlusion", None)}
    given = {name: field for name, field in fields.items() if field is not None}
    clips = {name: len(field) for name, field in given.items()}
    if clips["forward"] < 1 or len(set(clips.values())) != 1:
        raise ValueError(f"forward, backward, occlusion: got {clips} clips, wanted the same number of each, at least 1")
    threads = options.pop("threads", 1)
    check_threads(threads)
    options["threads"] = threads if clips["forward"] == 1 else 1  # else they take clips

    def plan(clip: int) -> Any:
        return plan_motion(grid=grid, **{name: field[clip] for name, field in given.items()}, **options)

    return tuple(in_threads(plan, range(clips["forward"]), min(threads, clips["forward"])))


def _dtype(dtype: Any, like: Any) -> Any:
    """Return the type asked for, or float32 of the kind of what went in."""
    if dtype is not None:
        return dtype
    if not is_tensor(like):
        return np.float32
    import torch

    return torch.float32
