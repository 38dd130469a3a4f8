"""A video in chunks, by one worker or several, has the noise of one pass."""

import numpy as np
import pytest

from equivdm.noise import MotionPlanner, plan_motion
from equivdm.noise.columns import pack, unpack
from equivdm.noise.state import VERSION
from tests.equivdm.noise.motions import affine_flow, coverage, smooth_flow, turn

SIZE, GRID = (48, 64), (6, 8)
STEPS = 30
CHUNKS = [(0, 1), (1, 9), (9, 10), (10, 24), (24, 30)]


def flows(motion: str) -> np.ndarray:
    if motion == "zoom":
        return affine_flow(SIZE, STEPS, turn(SIZE, degrees=2, zoom=1.05))
    return smooth_flow(SIZE, STEPS, seed=5, strength=3)


@pytest.mark.parametrize("motion", ["zoom", "random"])
@pytest.mark.parametrize("two_ways", [True, False])
@pytest.mark.parametrize("frames", [None, range(0, STEPS + 1, 4)])
def test_chunks_have_the_bits_of_one_pass(motion: str, two_ways: bool, frames: range | None) -> None:
    forward = flows(motion)
    backward = -forward if two_ways else None
    whole = plan_motion(forward, backward, grid=GRID, frames=frames, cuts=(17,)).noise(3, 5, beta=0.9)
    state, parts = MotionPlanner(SIZE, grid=GRID).state, []
    for first, stop in CHUNKS:
        planner = MotionPlanner.resume(state)  # as another worker would
        back = None if backward is None else backward[first:stop]
        planner.extend(forward[first:stop], back, frames=frames, cuts=(17,))
        if stop == STEPS:
            planner.finish(frames)
        state = planner.state
        if any(frames is None or frame in frames for frame in range(first, stop + (stop == STEPS))):
            parts.append(planner.take())
    assert [frame for part in parts for frame in part.frames] == list(frames or range(STEPS + 1))
    np.testing.assert_array_equal(np.concatenate([part.noise(3, 5, beta=0.9) for part in parts]), whole)


def test_taking_plans_on_the_way_changes_nothing() -> None:
    forward = flows("zoom")
    planner, parts = MotionPlanner(SIZE, grid=GRID), []
    for step in range(STEPS):
        planner.extend(forward[step : step + 1])
        parts.append(planner.take())
    planner.finish()
    noise = np.concatenate([part.noise(1, 4) for part in [*parts, planner.take()]])
    np.testing.assert_array_equal(noise, plan_motion(forward, grid=GRID).noise(1, 4))


def test_a_long_video_takes_no_more_memory_than_a_short_one() -> None:
    forward = affine_flow(SIZE, 50, turn(SIZE, degrees=3))
    planner = MotionPlanner(SIZE, grid=GRID)
    sizes = list[int]()
    for _ in range(12):
        planner.extend(forward)
        sizes.append(coverage(planner.take())[-1].sum())
    assert max(sizes) < 2 * GRID[0] * GRID[1] * 16


def test_nothing_new_is_said_to_be_so() -> None:
    planner = MotionPlanner(SIZE, grid=GRID)
    with pytest.raises(ValueError, match=r"^motion plan: no frame before 0 is new"):
        planner.take()


def test_a_chunk_of_another_size_is_refused_and_leaves_the_planner_as_it_was() -> None:
    planner = MotionPlanner(SIZE, grid=GRID)
    before = planner.state
    with pytest.raises(
        ValueError, match=r"^forward: got shape \(1, 16, 16, 2\), wanted \(steps, 48, 64, 2\) as before$"
    ):
        planner.extend(np.zeros((1, 16, 16, 2), np.float32))
    assert planner.state == before


@pytest.mark.parametrize("damage", [lambda state: b"", lambda state: state[:-9], lambda state: plan_bytes()])
def test_a_state_that_is_none_is_refused(damage) -> None:
    with pytest.raises(ValueError, match=r"^motion plan: "):
        MotionPlanner.resume(damage(MotionPlanner(SIZE, grid=GRID).state))


def plan_bytes() -> bytes:
    return plan_motion(flows("zoom"), grid=GRID).to_bytes()


def test_a_video_ends_once() -> None:
    planner = MotionPlanner(SIZE, grid=GRID)
    planner.finish()
    for ended in (planner, MotionPlanner.resume(planner.state)):
        with pytest.raises(ValueError, match=r"^motion plan: the video was finished at frame 0"):
            ended.finish()
        with pytest.raises(ValueError, match=r"^motion plan: the video was finished at frame 0"):
            ended.extend(flows("zoom"))


def test_a_state_with_particles_outside_the_frame_is_refused() -> None:
    head, x, *others = unpack(MotionPlanner(SIZE, grid=GRID).state, VERSION)
    x[0] = SIZE[1] << 16
    with pytest.raises(ValueError, match=r"^motion plan: the planner's state has particles outside its frame"):
        MotionPlanner.resume(pack([head, x, *others], VERSION))


@pytest.mark.parametrize("threads", [0, -2])
def test_no_threads_are_refused(threads: int) -> None:
    with pytest.raises(ValueError, match=f"^threads: got {threads}, wanted at least 1$"):
        MotionPlanner(SIZE, grid=GRID, threads=threads)
    with pytest.raises(ValueError, match=f"^threads: got {threads}, wanted at least 1$"):
        plan_motion(flows("zoom"), grid=GRID).noise(1, 2, threads=threads)


@pytest.mark.parametrize("size", [(0, 64), (48, 20_000)])
def test_a_frame_of_no_or_too_many_pixels_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"^size: got {size[1]}x{size[0]} px, wanted 1 to 16384 px a side$"):
        MotionPlanner(size, grid=(1, 1))
