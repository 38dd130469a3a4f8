"""From flow on a GPU to motion plans there; see `equivdm.noise.motion`."""

from typing import Unpack

import torch

from equivdm.noise.gpu.plan import DevicePlan, DevicePlans
from equivdm.noise.gpu.planner import DevicePlanner
from equivdm.noise.options import MotionOptions, follow


def plan_on_device(
    forward: torch.Tensor, backward: torch.Tensor | None, grid: tuple[int, int], **options: Unpack[MotionOptions]
) -> DevicePlans:
    """Follow the particles of a batch of clips, whose flow has shape (clips, steps, height, width, 2)."""
    if forward.ndim != 5 or min(forward.shape) < 1:
        raise ValueError(
            f"forward: got shape {tuple(forward.shape)}, wanted (clips, steps, height, width, 2), at least one of each"
        )
    clips, _, height, width, _ = forward.shape
    per_cell, device = options.get("per_cell", 4), forward.device
    planner = DevicePlanner((height, width), grid=grid, per_cell=per_cell, clips=clips, device=device)
    follow(planner, forward, backward, options, clip_axes=1)
    return planner.take()


def plan_one_on_device(
    forward: torch.Tensor, backward: torch.Tensor | None, grid: tuple[int, int], **options: Unpack[MotionOptions]
) -> DevicePlan:
    """Follow the particles of one clip, whose flow has shape (steps, height, width, 2)."""
    occlusion = options.get("occlusion")
    options["occlusion"] = None if occlusion is None else occlusion[None]
    return DevicePlan(plan_on_device(forward[None], None if backward is None else backward[None], grid, **options))
