"""Statistics of flow with known answers."""

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from equivdm.config import FlowConfig, OcclusionConfig
from equivdm.flow import estimate_motion, flow_statistics, occlusion_of
from equivdm.video.synthetic import render_scene

HEIGHT, WIDTH = 40, 60


def pan(steps: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """A window that slides by (-3, -4) px a frame over a picture, and its exact flow (3, 4)."""
    picture = np.random.default_rng(0).integers(0, 256, (HEIGHT + 20, WIDTH + 20, 3), np.uint8)
    places = [(16 - 4 * k, 12 - 3 * k) for k in range(steps + 1)]
    frames = np.stack([picture[y : y + HEIGHT, x : x + WIDTH] for y, x in places])
    return frames, np.full((steps, HEIGHT, WIDTH, 2), (3, 4), np.float32)


def test_an_exact_pan_has_its_speed_agrees_everywhere_and_leaves_by_its_border() -> None:
    frames, forward = pan()
    hidden, _ = occlusion_of(forward, -forward, OcclusionConfig())
    found = flow_statistics(forward, hidden, frames)
    assert (found.mean_speed, found.fast_speed) == (5, 5)
    assert (found.mean_speed_share, found.fast_speed_share) == (5 / HEIGHT, 5 / HEIGHT)
    assert found.leaving == pytest.approx(1 - (HEIGHT - 4) * (WIDTH - 3) / (HEIGHT * WIDTH))
    assert (found.disagreement, found.residual, found.unknown) == (0, 0, 0)


def test_frames_that_have_nothing_in_common_disagree() -> None:
    frames = np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), np.uint8)
    scene = render_scene(2, frames=3, height=64, width=64).frames
    shares, residuals = [], []
    for clip in (frames, scene):
        motion = estimate_motion(clip, FlowConfig())
        found = flow_statistics(motion.forward, motion.occluded_forward, clip)
        assert found.disagreement is not None
        assert found.residual is not None
        shares.append(found.disagreement)
        residuals.append(found.residual)
    assert shares[0] > 0.5
    assert shares[1] < 0.2
    assert residuals[0] > 3 * residuals[1]


def test_the_95th_percentile_sees_what_the_mean_does_not() -> None:
    forward = np.zeros((1, 20, 20, 2), np.float32)
    forward[0, :2, :, 0] = 6
    found = flow_statistics(forward)
    assert found.mean_speed == pytest.approx(0.6)
    assert found.fast_speed == 6


def test_a_shift_of_brightness_is_the_residual() -> None:
    frames = np.full((2, 16, 16, 3), 100, np.uint8)
    frames[1] += 7
    assert flow_statistics(np.zeros((1, 16, 16, 2), np.float32), None, frames).residual == pytest.approx(7)


def test_forward_flow_alone_says_nothing_of_agreement() -> None:
    frames, forward = pan()
    found = flow_statistics(forward, None, frames)
    assert found.disagreement is None
    assert found.residual == 0


def test_unknown_vectors_are_counted_and_enter_nothing_else() -> None:
    _, forward = pan(1)
    forward[0, :10] = np.nan
    found = flow_statistics(forward)
    assert (found.unknown, found.mean_speed) == (0.25, 5)
    nothing = flow_statistics(np.full_like(forward, np.nan))
    assert (nothing.unknown, nothing.mean_speed, nothing.leaving) == (1, 0, 0)


def test_what_belongs_to_another_clip_is_refused() -> None:
    frames, forward = pan()
    with pytest.raises(ValueError, match=r"^frames: got shape"):
        flow_statistics(forward, None, frames[1:])
    with pytest.raises((ValueError, TypeCheckError)):
        flow_statistics(forward, np.zeros((3, 4, 5), bool))
