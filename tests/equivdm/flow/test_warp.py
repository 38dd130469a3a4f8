"""Laws of warping, of the forward-backward check and of the colour wheel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
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


def test_an_unknown_vector_shows_nothing_and_changes_no_other_pixel() -> None:
    picture = np.random.default_rng(0).random((12, 16, 3), dtype=np.float32)
    flow = _constant(0.3, -0.2)
    whole = warp_back(picture, flow)
    flow[2, 3, 0] = flow[5, 1, 1] = np.nan
    warped, unknown = warp_back(picture, flow), np.isnan(flow).any(-1)
    assert np.isnan(warped[unknown]).all()
    np.testing.assert_array_equal(warped[~unknown], whole[~unknown])
    assert not in_frame(flow)[unknown].any()
    assert occlusion(flow[None], -flow[None], 0.5, 0.01)[0][unknown].all()


def test_wrong_arguments_are_refused() -> None:
    # The tests' shape checks may speak before the functions do.
    with pytest.raises((ValueError, TypeCheckError)):
        warp_back(np.zeros((4, 5), np.float32), _constant(0, 0))
    with pytest.raises((ValueError, TypeCheckError)):
        occlusion(_constant(0, 0)[None], _constant(0, 0, (5, 5))[None], 0.5, 0.01)
    with pytest.raises(ValueError, match="largest"):
        flow_to_rgb(_constant(0, 0)[None], largest=-1.0)


SIZES = st.tuples(st.integers(1, 6), st.integers(1, 6))
FIELDS = SIZES.flatmap(lambda size: arrays(np.float32, (*size, 2), elements=st.floats(-4, 4, width=16)))
some = settings(max_examples=30, derandomize=True)


def sampled(picture: np.ndarray, x: float, y: float) -> float:
    """Bilinear interpolation as a textbook has it, the border repeated."""
    height, width = picture.shape
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    weights = {
        (row, column): max(0, 1 - abs(y - row)) * max(0, 1 - abs(x - column))
        for row, column in np.ndindex(picture.shape)
    }
    return sum(weight * float(picture[place]) for place, weight in weights.items())


@some
@given(FIELDS)
def test_any_flow_samples_as_the_textbook_does(flow: np.ndarray) -> None:
    picture = np.random.default_rng(1).random(flow.shape[:2], dtype=np.float32)
    wanted = [
        sampled(picture, c + float(flow[r, c, 0]), r + float(flow[r, c, 1])) for r, c in np.ndindex(picture.shape)
    ]
    np.testing.assert_allclose(warp_back(picture, flow).ravel(), wanted, atol=1e-5)


@some
@given(FIELDS)
def test_a_warped_picture_holds_nothing_brighter_or_darker_and_a_flat_one_stays(flow: np.ndarray) -> None:
    picture = np.random.default_rng(2).random((*flow.shape[:2], 3), dtype=np.float32)
    warped = warp_back(picture, flow)
    assert picture.min() - 1e-6 <= warped.min() <= warped.max() <= picture.max() + 1e-6
    np.testing.assert_allclose(warp_back(np.full_like(picture, 7), flow), 7, rtol=1e-6)


@some
@given(FIELDS)
def test_more_slack_hides_less_and_what_leaves_is_always_hidden(flow: np.ndarray) -> None:
    forward, backward = flow[None], flow[None, ::-1]
    tight, loose = (occlusion(forward, backward, slack, 0.01) for slack in (0.1, 2.0))
    assert not (loose & ~tight).any()
    assert loose[0][~in_frame(flow)].all()


def test_rest_changes_no_byte_of_any_kind_of_picture() -> None:
    for shape, dtype in (((1, 1), np.uint8), ((3, 5, 1), np.float32), ((4, 4, 7), np.float64)):
        picture = np.random.default_rng(0).integers(0, 255, shape).astype(dtype)
        np.testing.assert_array_equal(warp_back(picture, _constant(0, 0, shape[:2])), picture.astype(np.float32))
