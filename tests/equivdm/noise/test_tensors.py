"""Arrays and tensors, one clip and a batch, give the same noise."""

import numpy as np
import pytest
import torch

from equivdm.noise import MotionPlanner, plan_motion, plan_motions, warped_noise, warped_noises
from tests.equivdm.noise.motions import GRID, MOTIONS, SIZE

FLOWS = np.stack([MOTIONS[name]() for name in ("turn", "zoom_in", "random")])
HIDDEN = np.random.default_rng(0).random(FLOWS.shape[:4]) < 0.1
SEEDS = [5, 0, (1 << 64) - 1]


def test_a_tensor_gives_a_tensor_of_the_same_bits() -> None:
    array = warped_noise(FLOWS[0], -FLOWS[0], grid=GRID, channels=5, seed=1, occlusion=HIDDEN[0])
    forward, hidden = torch.from_numpy(FLOWS[0]), torch.from_numpy(HIDDEN[0])
    tensor = warped_noise(forward, -forward, grid=GRID, channels=5, seed=1, occlusion=hidden)
    assert isinstance(array, np.ndarray)
    assert array.dtype == np.float32
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_array_equal(tensor.numpy(), array)
    assert plan_motion(forward, grid=GRID) == plan_motion(FLOWS[0], grid=GRID)


def test_a_planner_takes_tensors() -> None:
    planner = MotionPlanner(SIZE, grid=GRID)
    planner.extend(torch.from_numpy(FLOWS[0]))
    planner.finish()
    assert planner.take() == plan_motion(FLOWS[0], grid=GRID)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_narrow_types_are_the_nearest_to_float32(dtype: torch.dtype) -> None:
    plan = plan_motion(FLOWS[0], grid=GRID)
    drawn = plan.noise(3, 4, beta=0.9, dtype=dtype)
    assert drawn.dtype == dtype
    assert torch.equal(drawn, torch.from_numpy(plan.noise(3, 4, beta=0.9)).to(dtype))
    if dtype == torch.float16:
        np.testing.assert_array_equal(drawn.numpy(), plan.noise(3, 4, beta=0.9, dtype=np.float16))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("clips", [1, 3])
def test_a_clip_in_a_batch_is_the_clip_alone(clips: int, threads: int) -> None:
    flows, hidden, seeds = FLOWS[:clips], HIDDEN[:clips], SEEDS[:clips]
    options = {"grid": GRID, "channels": 9, "beta": 0.9, "frames": (0, 3, 6)}
    batch = warped_noises(flows, -flows, seeds=seeds, occlusion=hidden, threads=threads, **options)
    alone = [
        warped_noise(flow, -flow, seed=seed, occlusion=mask, **options)
        for flow, seed, mask in zip(flows, seeds, hidden, strict=True)
    ]
    np.testing.assert_array_equal(batch, np.stack(alone))


def test_a_batch_of_tensors_gives_a_tensor() -> None:
    batch = warped_noises(torch.from_numpy(FLOWS), grid=GRID, channels=2, seeds=SEEDS, dtype=torch.bfloat16)
    assert batch.shape == (3, 7, 2, *GRID)
    expected = warped_noises(FLOWS, grid=GRID, channels=2, seeds=SEEDS)
    assert torch.equal(batch, torch.from_numpy(expected).bfloat16())


def test_a_batch_wants_as_much_of_everything() -> None:
    plans = plan_motions(FLOWS, grid=GRID, frames=(0,))
    assert len(plans) == 3
    with pytest.raises(ValueError, match=r"^seeds: got 2, wanted one for each of 3 clips$"):
        plans.noise([1, 2], 4)
    with pytest.raises(ValueError, match=r"got \{'forward': 3, 'backward': 2\} clips, wanted the same number of each"):
        plan_motions(FLOWS, FLOWS[:2], grid=GRID)
    with pytest.raises(ValueError, match=r"got \{'forward': 0\} clips, wanted .* at least 1"):
        plan_motions(FLOWS[:0], grid=GRID)
    with pytest.raises(ValueError, match=r"^forward: got shape \(96, 128, 2\), wanted \(steps, height, width, 2\)"):
        plan_motions(FLOWS[0], grid=GRID)


def test_a_tensor_that_is_no_flow_is_named_with_its_place() -> None:
    flow = torch.from_numpy(FLOWS[0])
    with pytest.raises(ValueError, match=r"^forward: got torch.bfloat16 on cpu, wanted a float32 array or tensor on"):
        plan_motion(flow.bfloat16(), grid=GRID)
    with pytest.raises(ValueError, match=r"^backward: got torch.float32 on meta, wanted a float32 array or tensor on"):
        plan_motion(flow, flow.to("meta"), grid=GRID)
    with pytest.raises(ValueError, match=r"^occlusion: got float32 of shape \(6, 96, 128\), wanted bool of shape"):
        plan_motion(flow, grid=GRID, occlusion=flow[..., 0])
