"""Temporal errors that are known: of an exact shift, of one frame that is brighter, of a clip that is not visible."""

import numpy as np
import pytest

from equivdm.flow import Motion
from equivdm.metrics import Case
from equivdm.metrics.coherence import cross_frame_psnr
from equivdm.metrics.seams import seam_ratio, temporal_errors
from equivdm.video.synthetic import render_scene

STEPS, SIDE = 6, 24


def shifted() -> tuple[np.ndarray, list]:
    """Frames that move right by 2 px a step, and their motion."""
    wide = np.random.default_rng(0).integers(0, 200, (SIDE, SIDE + 2 * STEPS, 3), np.uint8)
    frames = np.stack([wide[:, 2 * (STEPS - k) :][:, :SIDE] for k in range(STEPS + 1)])
    back = np.zeros((SIDE, SIDE, 2), np.float32)
    back[..., 0] = -2
    return frames, [(back, np.zeros((SIDE, SIDE), bool))] * STEPS


def test_a_video_that_follows_the_motion_has_no_error() -> None:
    assert list(temporal_errors(*shifted())) == [0] * STEPS


def test_a_frame_that_differs_shows_in_the_steps_to_and_from_it_by_as_much() -> None:
    frames, steps = shifted()
    frames[3] += 7
    assert list(temporal_errors(frames, steps)) == [0, 0, 7, 7, 0, 0]


def test_errors_are_of_visible_pixels_and_unknown_without_any() -> None:
    frames, steps = shifted()
    frames[3, :, SIDE // 2 :] += 9
    right = np.zeros((SIDE, SIDE), bool)
    right[:, SIDE // 2 :] = True
    hidden = [(back, right if k == 2 else mask) for k, (back, mask) in enumerate(steps)]
    hidden[4] = (steps[0][0], np.ones((SIDE, SIDE), bool))
    errors = list(temporal_errors(iter(frames), iter(hidden)))
    assert errors[2] == 0
    assert errors[3] > 0
    assert np.isnan(errors[4])
    assert seam_ratio([1.0, 2.0, float("nan"), 4.0], [1, 2]) == pytest.approx(2 / 2.5)


def test_on_a_rendered_clip_the_mean_error_is_below_the_root_of_the_mean_square() -> None:
    scene = render_scene(1, frames=5, height=48, width=48)
    motion = Motion(scene.forward, scene.backward, scene.occluded_forward, scene.occluded_backward)
    errors = list(temporal_errors(scene.frames, zip(scene.backward, scene.occluded_backward, strict=True)))
    root = 255 * 10 ** (-cross_frame_psnr(Case(scene.frames, motion)) / 20)
    assert 0.3 * root < np.mean(errors) < root


def test_a_seam_is_compared_with_the_other_steps() -> None:
    assert seam_ratio([1.0, 1.0, 3.0, 1.0, 1.0], [2]) == 3
    assert seam_ratio([2.0, 2.0, 2.0, 2.0], [1, 2]) == 1


@pytest.mark.parametrize("seams", [[], [0, 1, 2], [1, 2]])
def test_nothing_to_compare_is_refused(seams: list[int]) -> None:
    with pytest.raises(ValueError, match=r"^seams: got errors of \d steps at seams and \d elsewhere, wanted some of"):
        seam_ratio([0.0, 1.0, 2.0], seams)


def test_a_missing_step_is_refused() -> None:
    frames, steps = shifted()
    with pytest.raises(ValueError, match="zip"):
        list(temporal_errors(frames, steps[:-1]))
