"""Clips that take every way through the kernels, and what a device must make of them: the bits of the host."""

from typing import Any

import numpy as np
import torch

from equivdm.noise import MotionPlan, plan_motion
from equivdm.noise.gpu.motion import plan_on_device
from tests.equivdm.noise.motions import affine_flow, shift, smooth_flow, turn

SIZE, GRID, STEPS = (48, 64), (6, 8), 3


def opposing() -> np.ndarray:
    """Return a flow of two halves that meet: what is hidden shows in the next step only."""
    flow = np.zeros((STEPS, *SIZE, 2), np.float32)
    flow[:, :, :32, 0] = 4
    return flow


def gaps() -> np.ndarray:
    """Return a flow with vectors that nobody knows."""
    flow = smooth_flow(SIZE, STEPS, seed=2, strength=2)
    flow[1, 10:20, 12:40, 0] = np.nan
    flow[2, 30:, :, 1] = 1000
    return flow


FLOWS = {
    "turn": lambda: affine_flow(SIZE, STEPS, turn(SIZE, degrees=7, zoom=1.02)),
    "deep zoom in": lambda: affine_flow(SIZE, STEPS, turn(SIZE, zoom=2.2)),
    "deep zoom out": lambda: affine_flow(SIZE, STEPS, turn(SIZE, zoom=0.4)),
    "pan": lambda: affine_flow(SIZE, STEPS, shift(3.3, -0.7)),
    "random": lambda: smooth_flow(SIZE, STEPS, seed=1, strength=4),
    "opposing": opposing,
}


def mask() -> np.ndarray:
    """Return a mask of hidden pixels."""
    return np.random.default_rng(0).random((STEPS, *SIZE)) < 0.05


CASES: dict[str, dict[str, Any]] = {
    **{name: {"flow": name} for name in ("deep zoom in", "deep zoom out", "opposing")},
    "two ways": {"flow": "random", "backward": True},
    "mask": {"flow": "turn", "occlusion": True},
    "8x8": {"flow": "turn", "per_cell": 8},
    "odd": {"flow": "random", "per_cell": 5},
    "one": {"flow": "pan", "per_cell": 1},
    "cut": {"flow": "turn", "cuts": (2,)},
    "stride": {"flow": "pan", "frames": (0, 2)},
    "another grid": {"flow": "turn", "grid": (5, 11)},
}


def both(case: dict[str, Any], device: str) -> tuple[MotionPlan, Any]:
    """Return the plan of a case on the host, and as made on a device."""
    options = {"grid": GRID, **case}
    forward = FLOWS[options.pop("flow")]()
    backward = -forward if options.pop("backward", False) else None
    hidden = mask() if options.pop("occlusion", False) else None
    host = plan_motion(forward, backward, occlusion=hidden, **options)
    fields = [None if each is None else torch.from_numpy(each)[None].to(device) for each in (forward, backward, hidden)]
    return host, plan_on_device(fields[0], fields[1], occlusion=fields[2], **options)  # type: ignore[arg-type]


def check_case(case: dict[str, Any], device: str) -> None:
    """Check that plan and noise of a device are the host's, bit for bit."""
    host, batch = both(case, device)
    assert batch.plans[0].to_bytes() == host.to_bytes()
    channels, beta = case_draw(case)
    noise = batch.noise([5], channels, beta=beta)[0]
    np.testing.assert_array_equal(noise.cpu().numpy(), host.noise(5, channels, beta=beta))


def case_draw(case: dict[str, Any]) -> tuple[int, float]:
    """Return channels and beta to draw a case with: two groups and a mix for some, one group and none for others."""
    return (11, 0.9) if "deep" in case["flow"] else (3, 1.0)
