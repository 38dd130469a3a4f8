"""The kernels of the GPU, run by Triton's interpreter where there is none, give the bits of the host."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from triton.runtime.interpreter import interpreter_builder

from equivdm.noise import MotionPlanner, plan_motion, plan_motions
from equivdm.noise.gpu import particles, plan
from equivdm.noise.gpu import planner as gpu_planner
from equivdm.noise.gpu.kernels import launch
from equivdm.noise.gpu.motion import plan_on_device, plan_one_on_device
from equivdm.noise.gpu.plan import DevicePlans
from equivdm.noise.gpu.planner import DevicePlanner
from tests.equivdm.noise.gpu.cases import CASES, FLOWS, GRID, SIZE, STEPS, check_case, gaps
from tests.equivdm.noise.motions import affine_flow, turn

NAMES = ("turn", "deep zoom in")


def batch_of(names: tuple[str, ...]) -> torch.Tensor:
    return torch.from_numpy(np.stack([FLOWS[name]() for name in names]))


@pytest.fixture(autouse=True)
def few_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter takes a second for a hundred operations, however long their vectors.

    Half of that it looks for overflows of whole numbers, and says nothing of them where it does not debug.
    """
    monkeypatch.setattr(particles, "SLOTS", 2048)
    monkeypatch.setattr(plan, "SLOTS", 2048)
    careless = replace(interpreter_builder.options, sanitize_overflow=False)
    monkeypatch.setattr(interpreter_builder, "options", careless)


@pytest.mark.parametrize("case", CASES)
def test_plan_and_noise_are_the_host_s(case: str) -> None:
    check_case(CASES[case], "cpu")


def test_many_programs_share_the_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (particles, plan):
        monkeypatch.setattr(module, "SLOTS", 256)
    check_case({"flow": "random", "frames": (0, 3)}, "cpu")


def test_unknown_motion_is_fresh() -> None:
    flow = gaps()
    host = plan_motion(flow, grid=GRID, unknown="fresh")
    assert plan_one_on_device(torch.from_numpy(flow), None, GRID, unknown="fresh").plan == host


def test_a_clip_in_a_batch_is_the_clip_alone() -> None:
    flows = batch_of(NAMES)[:, :2]
    device = plan_on_device(flows, None, GRID)
    host = plan_motions(flows, grid=GRID)
    assert device.plans == list(host.plans)
    seeds = [1 << 63, 0]
    noise = device.noise(seeds, 2, beta=0.5, dtype=torch.bfloat16)
    assert torch.equal(noise, host.noise(seeds, 2, beta=0.5, dtype=torch.bfloat16))


@pytest.mark.parametrize("room", [1, 2])
def test_chunks_have_the_bits_of_one_pass(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the slots do not suffice, and a chunk is done again with more."""
    monkeypatch.setattr(gpu_planner, "_ROOM", room)
    flow = affine_flow(SIZE, 5, turn(SIZE, degrees=5, zoom=1.2))
    whole = plan_motion(flow, grid=GRID).noise(3, 3)
    planner, parts = DevicePlanner(SIZE, grid=GRID, device="cpu"), []
    before = planner.capacity
    for first, stop in ((0, 2), (2, 3), (3, 5)):
        planner.extend(torch.from_numpy(flow[None, first:stop]))
        if first != 2:
            parts.append(planner.take())
    planner.finish()
    assert planner.capacity > before or room > 1
    noise = torch.cat([part.noise([3], 3)[0] for part in [*parts, planner.take()]])
    np.testing.assert_array_equal(noise.numpy(), whole)


@pytest.mark.parametrize(("two_ways", "launches"), [(True, 6), (False, 8)])
def test_a_step_is_few_launches(two_ways: bool, launches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU each takes a microsecond or two, however little it does; two more note a frame that is emitted."""
    names: list[str] = []

    def counted(kernel: Any, *arguments: Any, **constants: Any) -> None:
        names.append(kernel.fn.__name__)
        launch(kernel, *arguments, **constants)

    monkeypatch.setattr(particles, "launch", counted)
    flow = batch_of(("turn",))[:, :2]
    planner = DevicePlanner(SIZE, grid=GRID, device="cpu")
    planner.extend(flow[:, :1], flow[:, :1] if two_ways else None, frames=())
    names.clear()
    planner.extend(flow[:, 1:], -flow[:, 1:] if two_ways else None, frames=())
    assert len(names) == launches
    names.clear()
    planner.finish(frames=(2,))
    assert names[-2:] == ["find_kept", "note"]


def test_a_state_goes_from_host_to_device_and_back() -> None:
    flow = FLOWS["turn"]()
    host = MotionPlanner(SIZE, grid=GRID)
    host.extend(flow[:2])
    device = DevicePlanner.resume([host.state], device="cpu")
    assert device.states == [host.state]
    host.extend(flow[2:])
    device.extend(torch.from_numpy(flow[None, 2:]))
    assert device.states == [host.state]
    device.take()
    device.finish()
    back = MotionPlanner.resume(device.states[0])
    assert back.frame == STEPS
    with pytest.raises(ValueError, match="finished at frame 3"):
        back.finish()


def test_a_plan_of_the_host_draws_on_a_device() -> None:
    plans = [plan_motion(FLOWS[name](), grid=GRID, frames=(0, 2)) for name in NAMES]
    device = DevicePlans.from_plans(plans, "cpu")
    assert device.plans == plans
    noise = device.noise([1, 2], 5).numpy()
    np.testing.assert_array_equal(noise, np.stack([plan.noise(seed, 5) for seed, plan in enumerate(plans, 1)]))
    with pytest.raises(ValueError, match="got 2 kinds"):
        DevicePlans.from_plans([plans[0], plan_motion(FLOWS["pan"](), grid=GRID)], "cpu")


def test_what_is_wrong_is_named() -> None:
    flows = batch_of(("turn", "pan"))
    with pytest.raises(ValueError, match=r"forward: got shape \(3, 48, 64, 2\), wanted \(clips, steps"):
        plan_on_device(flows[0], None, GRID)
    with pytest.raises(ValueError, match=r"forward: got torch.float64 .* wanted torch.float32"):
        plan_on_device(flows.double(), None, GRID)
    with pytest.raises(ValueError, match=r"backward: .* of shape \(2, 2, 48, 64, 2\)"):
        plan_on_device(flows, flows[:, 1:], GRID)
    with pytest.raises(ValueError, match=r"occlusion: got torch.float32 .* wanted torch.bool"):
        plan_on_device(flows, None, GRID, occlusion=flows[..., 0])
    wild = flows.clone()
    wild[1, 2, 3, 4, 1] = torch.nan
    with pytest.raises(ValueError, match=r"forward: got nan at \(clip, step, y, x, axis\) \(1, 2, 3, 4, 1\)"):
        plan_on_device(wild, None, GRID)
    plans = plan_on_device(flows, None, GRID, frames=(0,))
    with pytest.raises(ValueError, match="seeds: got 1, wanted one for each of 2 clips"):
        plans.noise([1], 4)
    planner = DevicePlanner(SIZE, grid=GRID, device="cpu")
    with pytest.raises(ValueError, match="no frame before 0 is new"):
        planner.take()
    for none in (flows[:1, :0], flows[0]):
        with pytest.raises(ValueError, match=r"forward: got shape .* at least one step"):
            planner.extend(none)
    planner.finish()
    with pytest.raises(ValueError, match="finished at frame 0"):
        planner.extend(flows[:1])
