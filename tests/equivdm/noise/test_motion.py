"""The noise moves with the picture."""

import numpy as np
import pytest

from equivdm.noise import plan_motion, warped_noise
from tests.equivdm.noise.motions import (
    Affine,
    affine_flow,
    composed,
    ideal_tracking,
    shear,
    shift,
    smooth_flow,
    tracking,
    turn,
)

SIZE, GRID, STRIDE = (240, 336), (30, 42), 8


def test_zero_flow_gives_identical_frames() -> None:
    noise = warped_noise(np.zeros((3, *SIZE, 2), np.float32), grid=GRID, channels=4, seed=1)
    for frame in noise[1:]:
        np.testing.assert_array_equal(frame, noise[0])


@pytest.mark.parametrize("cells", [(1, 0), (0, 1), (-2, 1), (3, -2)])
def test_whole_cells_shift_the_noise_exactly(cells: tuple[int, int]) -> None:
    right, down = cells
    flow = affine_flow(SIZE, 1, shift(STRIDE * right, STRIDE * down))
    first, second = warped_noise(flow, grid=GRID, channels=4, seed=2)
    expected = np.roll(first, (down, right), (1, 2))
    stays = np.zeros(GRID, bool)
    stays[max(0, down) : GRID[0] + min(0, down), max(0, right) : GRID[1] + min(0, right)] = True
    np.testing.assert_array_equal(second[:, stays], expected[:, stays])
    # What came into the frame is new.
    fresh, old = second[:, ~stays].ravel(), first[:, ~stays].ravel()
    assert abs(np.mean(fresh * old)) < 4.5 / np.sqrt(fresh.size)


@pytest.mark.parametrize("step", [(3.7, 0.0), (-2.3, 1.9), (0.013, -11.2)])
def test_there_and_back_again(step: tuple[float, float]) -> None:
    away = affine_flow(SIZE, 3, shift(*step))
    noise = warped_noise(np.concatenate([away, -away]), grid=GRID, channels=4, seed=3)
    lost = int(np.ceil(3 * np.abs(step).max() / STRIDE))
    kept = (slice(None), slice(lost, -lost), slice(lost, -lost))
    np.testing.assert_array_equal(noise[-1][kept], noise[0][kept])


def test_a_turn_and_its_inverse_return_nearly_all() -> None:
    motion = turn(SIZE, degrees=3)
    back = turn(SIZE, degrees=-3)
    flow = np.concatenate([affine_flow(SIZE, 4, motion), affine_flow(SIZE, 4, back)])
    noise = warped_noise(flow, grid=GRID, channels=8, seed=4)
    middle = (slice(None), slice(8, 22), slice(11, 31))
    assert np.corrcoef(noise[-1][middle].ravel(), noise[0][middle].ravel())[0, 1] > 0.995


def test_slow_motion_is_not_lost() -> None:
    """A hundred frames of 0.01 px are one whole pixel, here a whole cell."""
    flow = affine_flow((40, 40), 100, shift(0.01, -0.01))
    noise = warped_noise(flow, grid=(40, 40), channels=8, seed=5, frames=(0, 100))
    was, now = noise[0][:, 1:, :-1], noise[1][:, :-1, 1:]
    assert np.corrcoef(was.ravel(), now.ravel())[0, 1] > 0.99


@pytest.mark.parametrize(
    ("motion", "per_cell"),
    [
        (turn(SIZE, degrees=1.5, zoom=1.01), 4),
        (turn(SIZE, degrees=-1), 4),
        (turn(SIZE, zoom=0.98), 4),
        (turn(SIZE, zoom=1.02), 8),
        (turn(SIZE, zoom=1.02), 4),
        (turn(SIZE, zoom=1.03), 4),
        (turn(SIZE, zoom=1.06), 8),
        (turn(SIZE, degrees=1.5, zoom=1.03), 4),
        (turn(SIZE, degrees=3, zoom=1.04), 4),
        (turn(SIZE, degrees=4, zoom=1.06), 8),
        (shear(SIZE, 0.02), 4),
        (shift(3.3, -0.7), 4),
        (shift(0.05, 0.03), 4),
    ],
)
def test_tracking_is_that_of_continuous_noise(motion: Affine, per_cell: int) -> None:
    steps = 48
    plan = plan_motion(affine_flow(SIZE, steps, motion), grid=GRID, per_cell=per_cell, frames=(0, 8, 24, steps))
    for place, reached in ((1, 8), (2, 24), (3, steps)):
        whole = composed(motion, reached, STRIDE)
        if np.linalg.det(whole[:, :2]) > 6**2:  # of six times the size hardly a cell is left to compare
            continue
        assert tracking(plan, place, whole) > 0.95 * ideal_tracking(GRID, whole)


@pytest.mark.parametrize("degrees", [0, 4])
@pytest.mark.parametrize("steps", [4, 12, 20, 28, 36])
def test_a_strong_zoom_is_tracked_at_every_lag(steps: int, degrees: float) -> None:
    """Up to eight times the size: sixteen particles of a cell become a thousand, in three splits."""
    motion = turn(SIZE, degrees, zoom=1.06)
    plan = plan_motion(affine_flow(SIZE, steps, motion), grid=GRID, per_cell=4, frames=(0, steps))
    whole = composed(motion, steps, STRIDE)
    assert tracking(plan, 1, whole) > 0.95 * ideal_tracking(GRID, whole)


def test_nothing_drifts_in_five_hundred_frames() -> None:
    """A full turn in 500 steps: the disc in the middle of the frame is where it was, and so is its noise."""
    size, grid = (96, 96), (12, 12)
    flow = affine_flow(size, 500, turn(size, degrees=360 / 500))
    plan = plan_motion(flow, grid=grid, frames=(0, 125, 250, 500))
    for place, reached in ((1, 125), (2, 250), (3, 500)):
        assert tracking(plan, place, composed(turn(size, degrees=360 / 500), reached, STRIDE)) > 0.98


def test_drawn_noise_has_the_correlation_of_the_plan() -> None:
    """Half a cell each way: a quarter of the particles is shared with each of four cells."""
    plan = plan_motion(affine_flow(SIZE, 1, shift(4, 4)), grid=GRID)
    first, second = plan.noise(6, 16).astype(np.float64)
    inner = second[:, 1:-1, 1:-1]
    for down in (0, 1):
        for right in (0, 1):
            before = first[:, 1 - down : GRID[0] - 1 - down, 1 - right : GRID[1] - 1 - right]
            assert np.mean(before * inner) == pytest.approx(0.25, abs=4.5 / np.sqrt(inner.size))


@pytest.mark.parametrize(("size", "grid"), [((90, 160), (12, 20)), ((37, 53), (5, 9)), ((12, 16), (24, 32))])
def test_any_resolution_and_aspect(size: tuple[int, int], grid: tuple[int, int]) -> None:
    """The same motion, given on any raster, shifts the grid by one whole cell."""
    flow = affine_flow(size, 1, shift(size[1] / grid[1], size[0] / grid[0]))
    plan = plan_motion(flow, grid=grid)
    assert tracking(plan, 1, shift(1, 1)) > 0.97
    assert plan.noise(1, 3).shape == (2, 3, *grid)


def test_one_cell_and_one_pixel() -> None:
    for size, grid in [((64, 48), (1, 1)), ((1, 1), (1, 1)), ((1, 1), (6, 9))]:
        noise = warped_noise(np.zeros((1, *size, 2), np.float32), grid=grid, channels=3, seed=1)
        np.testing.assert_array_equal(noise[0], noise[1])


def _passing_object(steps: int) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """A square of 6 x 6 cells that moves by half a cell to the right over a still ground: flows and its cells."""
    forward, backward, cells = np.zeros((steps, *SIZE, 2), np.float32), np.zeros((steps, *SIZE, 2), np.float32), []
    for step in range(steps + 1):
        here = (slice(56, 104), slice(40 + 4 * step, 88 + 4 * step))
        if step < steps:
            forward[step][here] = (4, 0)
        if step:
            backward[step - 1][here] = (-4, 0)
        mask = np.zeros(SIZE, bool)
        mask[here] = True
        cells.append(mask.reshape(GRID[0], STRIDE, GRID[1], STRIDE).all(axis=(1, 3)))
    return forward, backward, cells


def test_the_leading_edge_of_an_object_keeps_its_own_noise() -> None:
    steps = 16
    forward, backward, cells = _passing_object(steps)
    noise = warped_noise(forward, backward, grid=GRID, channels=8, seed=7)
    for step in range(2, steps + 1, 2):
        was, now = noise[0][:, cells[0]], noise[step][:, cells[step]]
        np.testing.assert_array_equal(now, was)


def test_a_mask_does_what_backward_flow_does() -> None:
    steps = 12
    forward, backward, _ = _passing_object(steps)
    hidden = np.zeros((steps, *SIZE), bool)
    for step in range(steps):
        hidden[step, 56:104, 88 + 4 * step : 92 + 4 * step] = True
    np.testing.assert_array_equal(
        warped_noise(forward, grid=GRID, channels=4, seed=7, occlusion=hidden),
        warped_noise(forward, backward, grid=GRID, channels=4, seed=7),
    )


def test_forward_flow_alone_keeps_most_of_the_leading_edge() -> None:
    """Against nearly nothing without the test for jumps: the object's noise would drown in that of the ground."""
    steps = 16
    forward, _, cells = _passing_object(steps)
    noise = warped_noise(forward, grid=GRID, channels=16, seed=7)
    was, now = noise[0][:, cells[0]], noise[steps - 2][:, cells[steps - 2]]
    assert np.corrcoef(was.ravel(), now.ravel())[0, 1] > 0.9


def test_the_ground_behind_an_object_is_fresh() -> None:
    forward, backward, cells = _passing_object(20)
    noise = warped_noise(forward, backward, grid=GRID, channels=16, seed=8)
    bare = cells[0] & ~cells[20]
    was, now = noise[0][:, bare], noise[20][:, bare]
    assert abs(np.mean(was * now)) < 4.5 / np.sqrt(now.size)
    ground = ~np.logical_or.reduce([np.roll(mask, shift, 1) for mask in cells for shift in (-1, 0, 1)])
    np.testing.assert_array_equal(noise[20][:, ground], noise[0][:, ground])


def test_emitted_frames_are_those_of_the_full_plan() -> None:
    flow = smooth_flow((48, 64), 8, seed=2)
    full = warped_noise(flow, -flow, grid=(6, 8), channels=4, seed=9, beta=0.9)
    some = warped_noise(flow, -flow, grid=(6, 8), channels=4, seed=9, beta=0.9, frames=(0, 4, 8))
    np.testing.assert_array_equal(some, full[::4])
