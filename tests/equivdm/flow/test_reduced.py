"""Flow at a fraction of its size comes back whole where it is constant or linear."""

from pathlib import Path

import numpy as np
import pytest

from equivdm.config import FlowConfig
from equivdm.flow import build_estimator, enlarge_flow, shrink_flow
from equivdm.video.decode import decode


def linear(height: int, width: int, slopes: tuple[float, float, float, float]) -> np.ndarray:
    """A zoom, a turn or a shear: both components linear in the place."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    u = 1 + slopes[0] * columns + slopes[1] * rows
    return np.stack([u, -2 + slopes[2] * columns + slopes[3] * rows], axis=-1).astype(np.float32)[None]


@pytest.mark.parametrize("divisor", [1, 2, 4, 8])
@pytest.mark.parametrize("vector", [(0, 0), (3, -2), (0.5, 12)])
def test_constant_flow_comes_back_exactly(divisor: int, vector: tuple[float, float]) -> None:
    flow = np.full((2, 24, 40, 2), vector, np.float32)
    small = shrink_flow(flow, divisor)
    assert (small.dtype, small.shape) == (np.float16, (2, 24 // divisor, 40 // divisor, 2))
    np.testing.assert_array_equal(small, np.broadcast_to(np.array(vector) / divisor, small.shape))
    np.testing.assert_array_equal(enlarge_flow(small, (24, 40)), flow)


@pytest.mark.parametrize("divisor", [2, 4])
@pytest.mark.parametrize("slopes", [(0.125, 0, 0, 0.125), (0, -0.25, 0.25, 0), (0.125, 0.25, 0, -0.125)])
def test_linear_flow_comes_back_exactly_up_to_the_border(divisor: int, slopes: tuple[float, ...]) -> None:
    # Slopes of a few binary digits, which half precision holds.
    flow = linear(16, 24, slopes)  # type: ignore[arg-type]
    np.testing.assert_array_equal(enlarge_flow(shrink_flow(flow, divisor), (16, 24)), flow)


def test_any_slope_comes_back_within_half_precision() -> None:
    flow = linear(32, 48, (0.0137, -0.021, 0.0073, 0.0191))
    back = enlarge_flow(shrink_flow(flow, 4), (32, 48))
    assert np.abs(back - flow).max() <= np.abs(flow).max() / 1024


def test_a_smaller_frame_moves_by_as_many_of_its_own_pixels() -> None:
    small = shrink_flow(np.full((1, 16, 16, 2), (8, -4), np.float32), 8)
    assert small[0, 0, 0].tolist() == [1, -0.5]
    assert enlarge_flow(small, (4, 8))[0, 0, 0].tolist() == [4, -1]


def test_unknown_vectors_spread_to_their_block_and_its_neighbours_only() -> None:
    flow = np.zeros((1, 32, 32, 2), np.float32)
    flow[0, 17, 17] = np.nan
    small = shrink_flow(flow, 4)
    assert np.isnan(small[..., 0]).sum() == 1
    back = np.isnan(enlarge_flow(small, (32, 32))[0, ..., 0])
    assert back[17, 17]
    assert not back[:12].any()
    assert not back[:, 24:].any()


@pytest.mark.parametrize("divisor", [0, 3, 5])
def test_a_side_is_divided_without_a_remainder(divisor: int) -> None:
    with pytest.raises(ValueError, match=f"got {divisor} for flow of 20x16 px, wanted a divisor of both sides"):
        shrink_flow(np.zeros((1, 16, 20, 2), np.float32), divisor)


def test_error_on_a_real_clip(assets: Path) -> None:
    frames = decode(str(assets / "clips" / "toy_elf.mp4"), range(40, 44), (240, 416))
    forward, _ = build_estimator(FlowConfig())(frames)
    errors = [
        float(np.linalg.norm(enlarge_flow(shrink_flow(forward, divisor), (240, 416)) - forward, axis=-1).mean())
        for divisor in (1, 2, 4, 8)
    ]
    # Mean motion 1.95 px; 0.0004, 0.010, 0.024 and 0.051 px were measured.
    assert [error < bound for error, bound in zip(errors, (0.001, 0.015, 0.03, 0.06), strict=True)] == [True] * 4
