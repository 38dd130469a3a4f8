"""Laws of warping, of the forward-backward check and of the colour wheel."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from equivdm.flow import flow_to_rgb, in_frame, occlusion, warp_back


def _constant(u: float, v: float, size: tuple[int, int] = (12, 16)) -> np.ndarray:
    return np.broadcast_to(np.array([u, v], np.float32), (*size, 2)).copy()


@given(st.integers(-5, 5), st.integers(-5, 5))
def test_integer_shift_is_exact(u: int, v: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    rows, columns = np.clip(np.arange(12) + v, 0, 11), np.clip(np.arange(16) + u, 0, 15)
    np.testing.assert_array_equal(warp_back(picture, _constant(u, v)), picture[rows][:, columns].astype(np.float32))


@given(st.floats(-3, 3), st.floats(-3, 3))
def test_bilinear_sampling_is_exact_on_linear_pictures(u: float, v: float) -> None:
    rows, columns = np.mgrid[:12, :16].astype(np.float32)
    flow = _constant(u, v)
    want = 2 * np.clip(columns + flow[..., 0], 0, 15) - 3 * np.clip(rows + flow[..., 1], 0, 11)
    np.testing.assert_allclose(warp_back(2 * columns - 3 * rows, flow), want, atol=1e-4)


def test_frame_reaches_half_a_pixel_beyond_the_outer_centres() -> None:
    assert in_frame(_constant(0.4, -0.4)).all()
    assert not in_frame(_constant(0.6, 0.0))[:, -1].any()
    assert in_frame(_constant(0.6, 0.0))[:, :-1].all()


@pytest.mark.parametrize(("u", "v"), [(2.0, 0.0), (0.0, -3.0), (1.5, 1.5)])
def test_agreeing_flows_hide_only_what_leaves_the_frame(u: float, v: float) -> None:
    forward, backward = _constant(u, v)[None], _constant(-u, -v)[None]
    np.testing.assert_array_equal(occlusion(forward, backward, 0.5, 0.01)[0], ~in_frame(forward[0]))


def test_disagreement_beyond_the_slack_is_occlusion() -> None:
    still, gap = _constant(0, 0)[None], _constant(1.0, 0)[None]
    assert occlusion(still, gap, absolute=0.98, relative=0.01).all()
    assert not occlusion(still, gap, absolute=1.0, relative=0.01).any()
    assert not occlusion(still, gap, absolute=0.0, relative=1.01).any()


def test_colours_show_direction_and_speed() -> None:
    assert (flow_to_rgb(_constant(0, 0)[None]) == 255).all()
    right = flow_to_rgb(_constant(2, 0)[None], largest=2.0)[0, 0, 0]
    assert right.tolist() == [255, 64, 64]
    half = flow_to_rgb(_constant(1, 0)[None], largest=2.0)[0, 0, 0]
    assert half.tolist() == [255, 159, 159] or half.tolist() == [255, 160, 160]


def test_wrong_arguments_are_refused() -> None:
    # The tests' shape checks may speak before the functions do.
    with pytest.raises((ValueError, TypeCheckError)):
        warp_back(np.zeros((4, 5), np.float32), _constant(0, 0))
    with pytest.raises((ValueError, TypeCheckError)):
        occlusion(_constant(0, 0)[None], _constant(0, 0, (5, 5))[None], 0.5, 0.01)
    with pytest.raises(ValueError, match="largest"):
        flow_to_rgb(_constant(0, 0)[None], largest=-1.0)
