"""The plan: pure, seed-free, compact, and safe to read back."""

import dataclasses
import hashlib
import pickle
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from equivdm.noise import MotionPlan, plan_motion, warped_noise
from equivdm.noise.checks import SIDE_LIMIT, check_flow, check_mask
from equivdm.noise.columns import pack, unpack
from equivdm.noise.plan import VERSION
from tests.equivdm.noise.motions import GRID, MOTIONS, Affine, affine_flow, shift, smooth_flow, turn


@pytest.fixture(scope="module")
def plan() -> MotionPlan:
    flow = MOTIONS["random"]()
    return plan_motion(flow, -flow, grid=GRID, frames=(0, 2, 4, 6))


def test_the_same_arguments_give_the_same_bits(plan: MotionPlan) -> None:
    flow = MOTIONS["random"]()
    again = plan_motion(flow, -flow, grid=GRID, frames=(0, 2, 4, 6))
    assert again.to_bytes() == plan.to_bytes()
    np.testing.assert_array_equal(again.noise(3, 5), plan.noise(3, 5))


def test_threads_do_not_change_the_bits(plan: MotionPlan) -> None:
    flow = MOTIONS["random"]()

    def draw(seed: int) -> bytes:
        return warped_noise(flow, -flow, grid=GRID, channels=5, seed=seed, frames=(0, 2, 4, 6)).tobytes()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(draw, range(8))) == [plan.noise(seed, 5).tobytes() for seed in range(8)]


@pytest.mark.parametrize("threads", [2, 3, 16])
def test_a_plan_and_a_draw_of_several_threads_are_those_of_one(plan: MotionPlan, threads: int) -> None:
    flow = MOTIONS["random"]()
    again = plan_motion(flow, -flow, grid=GRID, frames=(0, 2, 4, 6), threads=threads)
    assert again.to_bytes() == plan.to_bytes()
    np.testing.assert_array_equal(again.noise(3, 17, beta=0.9, threads=threads), plan.noise(3, 17, beta=0.9))


def test_golden_noise() -> None:
    """Noise of an earlier version: a change of these bits needs a new number in `MotionPlan.to_bytes` and its users."""
    y, x = np.mgrid[0:24, 0:40]
    step = np.stack([(x * 7 + y * 3) % 32 / 16 - 1, (x * 5 + y * 11) % 64 / 32 - 1], -1).astype(np.float32)
    noise = warped_noise(np.stack([step, -step, step]), grid=(6, 10), channels=9, seed=2**63 + 5, beta=0.9)
    assert (
        hashlib.sha256(noise.astype("<f4").tobytes()).hexdigest()
        == "ab23d34aab121183fe05b50d25d64a7f552a2bc2eea1034b7547d2c0c083e233"
    )


def test_layout_of_the_flow_does_not_matter(plan: MotionPlan) -> None:
    flow = np.asfortranarray(MOTIONS["random"]())
    flow.flags.writeable = False
    assert plan_motion(flow, -flow, grid=GRID, frames=[0, 2, 4, 6]) == plan


def test_round_trip(plan: MotionPlan) -> None:
    data = plan.to_bytes()
    again = MotionPlan.from_bytes(data)
    assert again == plan
    assert hash(again) == hash(plan)
    assert again.to_bytes() == data
    assert (again.grid, again.frames, again.per_cell) == (GRID, (0, 2, 4, 6), 4)
    np.testing.assert_array_equal(again.noise(8, 3, beta=0.5), plan.noise(8, 3, beta=0.5))
    assert pickle.loads(pickle.dumps(plan)) == plan


def test_other_motion_or_frames_make_another_plan(plan: MotionPlan) -> None:
    flow = MOTIONS["random"]()
    assert plan_motion(flow, grid=GRID, frames=(0, 2, 4, 6)) != plan
    assert plan_motion(flow, -flow, grid=GRID, frames=(0, 2, 4)) != plan


def test_drawing_leaves_the_plan_alone_and_seeds_are_independent(plan: MotionPlan) -> None:
    before = plan.to_bytes()
    one, other = plan.noise(1, 16), plan.noise(2, 16)
    assert plan.to_bytes() == before
    assert abs(np.mean(one[0] * other[0])) < 4.5 / np.sqrt(one[0].size)


def test_half_precision_is_the_rounded_draw(plan: MotionPlan) -> None:
    half = plan.noise(1, 4, dtype=np.float16)
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, plan.noise(1, 4).astype(np.float16))


LARGE = (480, 832)


@pytest.mark.parametrize(
    ("motion", "limit"),
    [
        (shift(3.3, -0.7), 60_000),
        (turn(LARGE, degrees=1.5, zoom=1.01), 250_000),
        (turn(LARGE, zoom=1.02), 250_000),
        (turn(LARGE, zoom=1.03), 300_000),
        (turn(LARGE, degrees=1.5, zoom=1.02), 300_000),
        (turn(LARGE, zoom=0.98), 200_000),
    ],
)
def test_size_of_a_clip_on_disk(motion: Affine, limit: int) -> None:
    """Thirteen latent frames of 480 x 832 px on 60 x 104 cells: at most 0.3 MB, and they come back."""
    plan = plan_motion(affine_flow(LARGE, 48, motion), grid=(60, 104), frames=range(0, 49, 4))
    data = plan.to_bytes()
    assert len(data) < limit
    np.testing.assert_array_equal(MotionPlan.from_bytes(data).cells, plan.cells)


@pytest.mark.parametrize("per_cell", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("frames", [None, (5,), (1, 2, 6)])
def test_every_column_comes_back(per_cell: int, frames: tuple[int, ...] | None) -> None:
    """Random motion, splits, births on the way and a cut, read back from bytes."""
    flow = np.concatenate([MOTIONS["random"]()[:3], MOTIONS["zoom_in"]() * 3])
    plan = plan_motion(flow, grid=GRID, per_cell=per_cell, frames=frames, cuts=(2,))
    again = MotionPlan.from_bytes(plan.to_bytes())
    for column in ("births", "sites", "paths", "starts", "stops", "cells"):
        np.testing.assert_array_equal(getattr(again, column), getattr(plan, column))


@pytest.mark.parametrize("column", range(8))
@pytest.mark.parametrize("value", [-(2**31), -1, 0, 1, 2**20, 2**31 - 1])
def test_columns_of_something_else_are_refused_or_make_a_plan(plan: MotionPlan, column: int, value: int) -> None:
    """Whole bytes with wrong numbers in them, where no check sum helps: what is read holds what kernels rely on."""
    columns = unpack(plan.to_bytes(), VERSION)
    columns[column][len(columns[column]) // 3] = value
    said, cells = "motion plan: ", plan.cells
    try:
        cells = MotionPlan.from_bytes(pack(columns, VERSION)).cells
    except ValueError as error:
        said = str(error)
    assert said.startswith("motion plan: ")
    assert "\n" not in said
    assert 0 <= cells.min() <= cells.max() < SIDE_LIMIT


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: b"", "0 bytes"),
        (lambda data: b"RIFF" + data, "start with"),
        (lambda data: data[:4] + b"\x09" + data[5:], "format"),
        (lambda data: data[:5], "cut short"),
        (lambda data: data[:-20], "cut short"),
        (lambda data: data + b"x", "continue"),
        (lambda data: data[:500] + bytes([data[500] ^ 1]) + data[501:], "damaged|cut short|contradict"),
        (lambda data: data[:5] + zlib.compress(b"something else, well packed"), "not those of a plan"),
        (lambda data: data[:5] + zlib.compress(zlib.decompress(data[5:])[:-9]), "not those of a plan"),
        (lambda data: data[:5] + zlib.compress(zlib.decompress(data[5:])[:9]), "not those of a plan"),
    ],
)
def test_damaged_bytes_are_refused_in_one_line(plan: MotionPlan, damage, said: str) -> None:
    with pytest.raises(ValueError, match=f"^motion plan: .*({said})[^\n]*$"):
        MotionPlan.from_bytes(damage(plan.to_bytes()))


FLOW = smooth_flow((16, 24), 2, seed=0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"grid": (0, 3)}, r"grid: got \(0, 3\)"),
        ({"grid": (4, 100_000)}, r"grid: got \(4, 100000\)"),
        ({"grid": (500, 3)}, r"grid: got \(500, 3\) .* at most 64 particles along a pixel"),
        ({"grid": (16_000, 16_000), "per_cell": 16}, "grid: got .* 65536000000 particles"),
        ({"per_cell": 0}, "per_cell: got 0, wanted 1 to 16"),
        ({"per_cell": 17}, "per_cell: got 17, wanted 1 to 16"),
        ({"frames": ()}, r"frames: got \(\), wanted strictly increasing numbers from 0 to 2"),
        ({"frames": (0, 3)}, r"frames: got \(0, 3\)"),
        ({"frames": (-1, 1)}, r"frames: got \(-1, 1\)"),
        ({"frames": (1, 1)}, r"frames: got \(1, 1\)"),
        ({"frames": (2, 0)}, r"frames: got \(2, 0\)"),
        ({"forward": FLOW[:0]}, r"forward: got shape \(0, 16, 24, 2\), wanted .* at least one step"),
        ({"channels": 0}, "channels: got 0, wanted at least 1"),
        ({"seed": -1}, "seed: got -1"),
        ({"seed": 2**64}, "seed: got 18446744073709551616"),
        ({"beta": 1.1}, "beta: got 1.1"),
        ({"beta": float("nan")}, "beta: got nan"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict, said: str) -> None:
    right = {"forward": FLOW, "backward": None, "grid": (4, 6), "channels": 2, "seed": 1}
    with pytest.raises(ValueError, match=f"^{said}"):
        warped_noise(**(right | arguments))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["forward", "backward"])
def test_flow_that_is_not_finite_is_refused(name: str, value: float) -> None:
    broken = FLOW.copy()
    broken[1, 3, 7, 0] = value
    flows = {"forward": FLOW, "backward": FLOW} | {name: broken}
    with pytest.raises(ValueError, match=rf"^{name}: got {value} at .* \(1, 3, 7, 0\), wanted finite"):
        plan_motion(**flows, grid=(4, 6))


@pytest.mark.parametrize(
    ("flow", "said"),
    [
        (FLOW.astype(np.float64), "got float64, wanted a float32"),
        (FLOW.astype(np.float16), "got float16, wanted a float32"),
        (FLOW[0], r"got shape \(16, 24, 2\), wanted \(steps, height, width, 2\)"),
        (FLOW[..., :1], r"got shape \(2, 16, 24, 1\)"),
        (np.zeros((1, 1, 20_000, 2), np.float32), "got 20000x1 px, wanted at most 16384"),
    ],
)
def test_arrays_that_are_no_flow_are_refused(flow: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=f"^forward: {said}"):
        check_flow("forward", flow)


def test_a_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^occlusion: got bool of shape .* wanted bool of shape \(2, 16"):
        check_mask("occlusion", np.zeros((1, 16, 24), bool), FLOW)
    with pytest.raises(ValueError, match=r"^occlusion: got uint8 of shape .* wanted bool"):
        check_mask("occlusion", np.zeros((2, 16, 24), np.uint8), FLOW)


def test_flows_of_two_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^backward: got shape \(1, 16, 24, 2\), wanted that of forward, \(2, "):
        check_flow("backward", FLOW[:1], like=FLOW)


@pytest.mark.parametrize("value", [np.nan, -np.inf, 24.5, 1e30])
def test_motion_that_is_not_known_leads_to_fresh_noise(value: float) -> None:
    """The right half has no flow in one step, or no flow back in the next; the rest stays as it is."""
    flow = np.zeros((2, 16, 24, 2), np.float32)
    broken = flow.copy()
    broken[0, :, 12:, 0] = value
    with pytest.raises(ValueError, match=r'^forward: got .* unknown="fresh"'):
        plan_motion(broken, grid=(4, 6))
    for flows in ((broken, None), (broken, flow), (flow, broken)):
        noise = warped_noise(*flows, grid=(4, 6), channels=48, seed=1, unknown="fresh")
        np.testing.assert_array_equal(noise[2, ..., :3], noise[0, ..., :3])
        was, now = noise[0, ..., 3:], noise[2, ..., 3:]
        assert abs(np.mean(was * now)) < 4.5 / np.sqrt(now.size)


def test_a_cut_begins_anew() -> None:
    flow = np.zeros((4, 16, 24, 2), np.float32)
    flow[1] = np.nan  # what an estimator says across a cut is ignored
    noise = warped_noise(flow, grid=(4, 6), channels=48, seed=1, cuts=(2,))
    np.testing.assert_array_equal(noise[0], noise[1])
    np.testing.assert_array_equal(noise[2], noise[4])
    assert abs(np.mean(noise[1] * noise[2])) < 4.5 / np.sqrt(noise[0].size)


def test_equal_plans_are_one_key_and_nothing_else_equals_a_plan(plan: MotionPlan) -> None:
    again = MotionPlan.from_bytes(plan.to_bytes())
    assert len({plan, again}) == 1
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert plan != plan.to_bytes()
    assert plan != plan_motion(FLOW, grid=(4, 6))


@pytest.mark.parametrize(
    "change",
    [
        lambda plan: {"cells": plan.cells[:-1]},
        lambda plan: {"cells": plan.cells + np.int32(1)},
        lambda plan: {"cells": plan.cells - np.int32(1)},
        lambda plan: {"sites": plan.sites + np.int32(1)},
        lambda plan: {"paths": np.zeros_like(plan.paths)},
        lambda plan: {"paths": np.full_like(plan.paths, 1 << 13)},
        lambda plan: {"stops": plan.starts, "cells": plan.cells[:0]},
        lambda plan: {"starts": plan.starts - np.int32(1), "stops": plan.stops - np.int32(1)},
        lambda plan: {"frames": plan.frames[:-1]},
        lambda plan: {"frames": plan.frames[::-1]},
        lambda plan: {"grid": (GRID[0] - 1, GRID[1])},
        lambda plan: {"grid": (0, GRID[1])},
        lambda plan: {"per_cell": plan.per_cell - 1},
        lambda plan: {"per_cell": 17},
    ],
)
def test_columns_that_contradict_each_other_make_no_plan(plan: MotionPlan, change) -> None:
    with pytest.raises(ValueError, match=r"^motion plan: its columns contradict each other; make the plan again with"):
        dataclasses.replace(plan, **change(plan))


def test_the_scale_is_one_over_the_root_of_what_a_cell_holds() -> None:
    plan = plan_motion(MOTIONS["zoom_in"](), grid=GRID)
    assert plan.paths.max() > 1  # some have split
    held = np.zeros((len(plan.frames), GRID[0] * GRID[1]))
    for frame, (tracks, cells) in enumerate(plan.by_frame()):
        for track, cell in zip(tracks.tolist(), cells.tolist(), strict=True):
            depth = (int(plan.paths[track]).bit_length() - 1) // 2
            held[frame, cell] += 4.0**-depth
    np.testing.assert_allclose(plan.scale * 2.0**12 * 2.0**6, 2.0**6 / np.sqrt(4.0**6 * held), rtol=1e-6)
