"""The noise engine on a GPU gives the bits of the host, in every size and way that it is used."""

import numpy as np
import pytest
import torch

from equivdm.noise import MotionPlanner, plan_motion, warped_noise, warped_noises
from equivdm.noise.gpu import replay
from equivdm.noise.gpu.motion import plan_on_device
from equivdm.noise.gpu.plan import DevicePlans
from equivdm.noise.gpu.planner import DevicePlanner
from tests.equivdm.noise.gpu.cases import CASES, FLOWS, GRID, SIZE, check_case
from tests.equivdm.noise.motions import affine_flow, smooth_flow, turn

pytestmark = pytest.mark.gpu

FULL, FULL_GRID, STEPS = (480, 832), (60, 104), 24


def full_flow(seed: int) -> np.ndarray:
    """Return a flow of a turn, a zoom, or waves, at the size of a video."""
    if seed % 3 == 2:
        return smooth_flow(FULL, STEPS, seed=seed, strength=4)
    return affine_flow(FULL, STEPS, turn(FULL, degrees=1.5 * seed, zoom=1.03 - 0.02 * seed))


@pytest.mark.parametrize("case", CASES)
def test_plan_and_noise_are_the_host_s(case: str, device: str) -> None:
    check_case(CASES[case], device)


@pytest.mark.parametrize("per_cell", [4, 8])
@pytest.mark.parametrize("two_ways", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_a_video_has_the_bits_of_the_host(seed: int, two_ways: bool, per_cell: int, device: str) -> None:
    forward = full_flow(seed)
    backward = -forward if two_ways else None
    host = plan_motion(forward, backward, grid=FULL_GRID, per_cell=per_cell, frames=range(0, STEPS + 1, 4))
    there = [None if each is None else torch.from_numpy(each).to(device) for each in (forward, backward)]
    plan = plan_motion(there[0], there[1], grid=FULL_GRID, per_cell=per_cell, frames=range(0, STEPS + 1, 4))
    assert not isinstance(plan, type(host))
    assert plan.plan.to_bytes() == host.to_bytes()
    for channels, beta in ((16, 0.9), (48, 1.0), (1, 0.0)):
        drawn = plan.noise(1 << 63 | 5, channels, beta=beta)
        assert drawn.device.type == device
        np.testing.assert_array_equal(drawn.cpu().numpy(), host.noise(1 << 63 | 5, channels, beta=beta))


def test_a_batch_has_the_bits_of_each_clip(device: str) -> None:
    flows = torch.from_numpy(np.stack([full_flow(seed) for seed in range(8)])).to(device)
    seeds = list(range(100, 108))
    batch = warped_noises(flows, grid=FULL_GRID, channels=16, seeds=seeds, dtype=torch.bfloat16)
    for flow, seed, noise in zip(flows, seeds, batch, strict=True):
        assert torch.equal(warped_noise(flow, grid=FULL_GRID, channels=16, seed=seed, dtype=torch.bfloat16), noise)
    host = warped_noise(flows[3].cpu(), grid=FULL_GRID, channels=16, seed=103, dtype=torch.bfloat16)
    assert torch.equal(batch[3].cpu(), host)


def test_a_recorded_step_is_the_step(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    flow = torch.from_numpy(full_flow(1))[None].to(device)
    recorded = plan_on_device(flow, None, FULL_GRID).plans[0].to_bytes()
    monkeypatch.setattr(replay.Replay, "__call__", lambda self: self._function())
    assert plan_on_device(flow, None, FULL_GRID).plans[0].to_bytes() == recorded


def test_a_state_goes_from_host_to_device_and_back(device: str) -> None:
    flow = full_flow(1)
    whole = plan_motion(flow, grid=FULL_GRID).noise(3, 4)
    host = MotionPlanner(FULL, grid=FULL_GRID)
    host.extend(flow[:8])
    parts = [host.take().noise(3, 4)]
    there = DevicePlanner.resume([host.state], device=device)
    there.extend(torch.from_numpy(flow[None, 8:16]).to(device))
    parts.append(there.take().noise([3], 4)[0].cpu().numpy())
    back = MotionPlanner.resume(there.states[0])
    back.extend(flow[16:])
    back.finish()
    parts.append(back.take().noise(3, 4))
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_a_long_video_takes_no_more_memory_than_a_short_one(device: str) -> None:
    flow = torch.from_numpy(full_flow(1))[None].to(device)
    planner, used = DevicePlanner(FULL, grid=FULL_GRID, device=device), []
    for _ in range(12):
        planner.extend(flow, frames=range(0, 10_000, 4))
        planner.take().noise([1], 16)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        planner.extend(flow, frames=range(0, 10_000, 4))
        planner.take()
        used.append(torch.cuda.max_memory_allocated())
    assert max(used[6:]) <= max(used[:6]) * 1.01


def test_plans_of_the_host_draw_there(device: str) -> None:
    plans = [plan_motion(FLOWS[name](), grid=GRID) for name in ("turn", "random", "pan")]
    drawn = DevicePlans.from_plans(plans, device).noise([1, 2, 3], 12, beta=0.5).cpu().numpy()
    np.testing.assert_array_equal(drawn, np.stack([plan.noise(k, 12, beta=0.5) for k, plan in enumerate(plans, 1)]))


def test_a_wild_vector_is_refused(device: str) -> None:
    flow = torch.zeros(1, 2, *SIZE, 2, device=device)
    flow[0, 1, 3, 4, 0] = torch.inf
    with pytest.raises(ValueError, match=r"forward: got inf at \(clip, step, y, x, axis\) \(0, 1, 3, 4, 0\)"):
        plan_on_device(flow, None, GRID)
