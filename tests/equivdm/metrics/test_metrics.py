"""Each metric on videos whose value is known."""

import numpy as np
import pytest

from equivdm.flow import Motion
from equivdm.metrics import OF_MOTION, Case, measure
from equivdm.metrics.alignment import angular_error, endpoint_error
from equivdm.metrics.coherence import CEILING, cross_frame_psnr, first_frame_psnr, variation_along_tracks, warp_error
from equivdm.metrics.statistics import contrast, flicker, luma, sharpness
from equivdm.video.synthetic import render_scene


def shift_motion(frames: int, size: int, dx: int, dy: int) -> Motion:
    """Motion of a camera that shifts by whole pixels, with its exact occlusion at the border."""
    forward = np.full((frames - 1, size, size, 2), (dx, dy), np.float32)
    rows, columns = np.mgrid[:size, :size]
    leaves = (columns + dx < 0) | (columns + dx >= size) | (rows + dy < 0) | (rows + dy >= size)
    enters = (columns - dx < 0) | (columns - dx >= size) | (rows - dy < 0) | (rows - dy >= size)
    steps = (frames - 1, size, size)
    return Motion(forward, -forward, np.broadcast_to(leaves, steps).copy(), np.broadcast_to(enters, steps).copy())


def shifted(frames: int, size: int, dx: int, dy: int) -> np.ndarray:
    """A window that slides over a large picture, so that its content moves by (dx, dy) a frame."""
    picture = render_scene(5, frames=2, height=3 * size, width=3 * size).frames[0]
    starts = [(size - k * dy, size - k * dx) for k in range(frames)]
    return np.stack([picture[y : y + size, x : x + size] for y, x in starts])


def still(frames: int = 5, size: int = 32) -> Motion:
    return shift_motion(frames, size, 0, 0)


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (2, 0), (0, -3), (-1, 2)])
def test_material_that_moves_with_the_driving_video_is_perfectly_coherent(dx: int, dy: int) -> None:
    video, motion = shifted(5, 32, dx, dy), shift_motion(5, 32, dx, dy)
    assert cross_frame_psnr(Case(video, motion)) == CEILING
    assert first_frame_psnr(Case(video, motion)) == CEILING


def test_fresh_uniform_noise_has_its_closed_form() -> None:
    """Two independent uniform bytes differ by (256^2 - 1) / 6 in mean square."""
    video = np.random.default_rng(0).integers(0, 256, (9, 64, 64, 3), np.uint8)
    expected = 10 * np.log10(255**2 * 6 / (256**2 - 1))
    assert cross_frame_psnr(Case(video, still(9, 64))) == pytest.approx(expected, abs=0.05)
    assert first_frame_psnr(Case(video, still(9, 64))) == pytest.approx(expected, abs=0.05)


def test_one_wrong_level_has_its_closed_form() -> None:
    video = np.full((3, 16, 16, 3), 100, np.uint8)
    video[1] += 1
    assert cross_frame_psnr(Case(video, still(3, 16))) == pytest.approx(10 * np.log10(255**2))
    assert first_frame_psnr(Case(video, still(3, 16))) == pytest.approx(10 * np.log10(255**2 * 2))


def test_hidden_pixels_do_not_count() -> None:
    video, motion = np.full((3, 16, 16, 3), 100, np.uint8), still(3, 16)
    video[1:, :4] = 7
    motion.occluded_backward[0, :4] = True
    assert cross_frame_psnr(Case(video, motion)) == CEILING
    assert first_frame_psnr(Case(video, motion)) == CEILING


@pytest.mark.parametrize(("dx", "dy"), [(2, 0), (0, 1), (-1, -2)])
def test_epe_is_the_distance_between_the_two_motions(dx: int, dy: int) -> None:
    video = shifted(4, 96, dx, dy)
    assert endpoint_error(Case(video, shift_motion(4, 96, dx, dy))) < 0.1
    assert endpoint_error(Case(video, still(4, 96))) == pytest.approx(np.hypot(dx, dy), abs=0.15)


def test_angular_error_is_the_angle_between_the_two_motions_in_space_and_time() -> None:
    video, angle = shifted(3, 96, -1, 2), np.degrees(np.arctan(np.hypot(1, 2)))
    for share, expected in ((1, 0), (0, angle), (-1, 2 * angle)):
        case = Case(video, shift_motion(3, 96, -share, 2 * share))
        assert angular_error(case) == pytest.approx(expected, abs=2)


def test_angular_error_of_given_flows_is_its_closed_form() -> None:
    """(3, 4, 1) and (4, -3, 1) have a product of 1 and squared lengths of 26; a direction and itself have no angle."""
    case = Case(np.zeros((3, 16, 16, 3), np.uint8), shift_motion(3, 16, 3, 4))
    vars(case)["estimated"] = shift_motion(3, 16, 4, -3)
    assert angular_error(case) == pytest.approx(np.degrees(np.arccos(1 / 26)), rel=1e-9)
    assert endpoint_error(case) == pytest.approx(np.sqrt(50), rel=1e-6)
    vars(case)["estimated"] = case.motion
    assert angular_error(case) == 0


def test_motion_is_estimated_once_a_case() -> None:
    case = Case(noise_video(4), still(4, 24))
    assert case.estimated is case.estimated


def test_statistics_of_known_pictures() -> None:
    ramp = np.broadcast_to((3 * np.arange(32)).astype(np.uint8)[None, None, :, None], (4, 32, 32, 3))
    blink = np.zeros((5, 32, 32, 3), np.uint8)
    blink[::2] = 10
    assert sharpness(Case(ramp, still(4))) == pytest.approx(3, rel=1e-5)
    assert contrast(Case(ramp, still(4))) == pytest.approx(3 * np.arange(32).std(), rel=1e-5)
    assert flicker(Case(ramp, still(4))) == pytest.approx(0, abs=1e-4)
    assert flicker(Case(blink, still(5))) == pytest.approx(20, rel=1e-5)
    assert flicker(Case(blink[:2])) == 0


def test_colours_that_move_along_do_not_vary_along_tracks_and_fresh_ones_do() -> None:
    texture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    moving = np.stack([np.roll(texture, 2 * k, 1) for k in range(4)])
    fresh = np.random.default_rng(1).integers(0, 256, (8, 96, 96, 3), np.uint8)
    assert variation_along_tracks(Case(moving, shift_motion(4, 64, 2, 0))) == pytest.approx(0, abs=1e-6)
    assert variation_along_tracks(Case(fresh, still(8, 96))) == pytest.approx(1, rel=0.05)
    hidden = Motion(
        *(getattr(still(3, 16), name) for name in ("forward", "backward")), *[np.ones((2, 16, 16), bool)] * 2
    )
    with pytest.raises(ValueError, match="got no point that is visible in all frames"):
        variation_along_tracks(Case(moving[:3, :16, :16], hidden))


def test_luma_of_grey_is_grey() -> None:
    grey = np.full((1, 2, 2, 3), 77, np.uint8)
    np.testing.assert_allclose(luma(grey), 77, rtol=1e-6)


def test_measure_gives_every_metric() -> None:
    scene = render_scene(1, frames=4, height=32, width=32)
    motion = Motion(scene.forward, scene.backward, scene.occluded_forward, scene.occluded_backward)
    values = measure(Case(scene.frames, motion), OF_MOTION)
    assert list(values) == list(OF_MOTION)
    assert all(np.isfinite(value) for value in values.values())


def test_coherent_video_beats_the_same_frames_in_disorder() -> None:
    scene = render_scene(2, frames=8, height=64, width=64)
    motion = Motion(scene.forward, scene.backward, scene.occluded_forward, scene.occluded_backward)
    disorder = scene.frames[[0, 5, 2, 7, 4, 1, 6, 3]]
    right, wrong = (measure(Case(frames, motion), OF_MOTION) for frames in (scene.frames, disorder))
    assert right["cf_psnr"] > wrong["cf_psnr"] + 5
    assert right["epe"] < 0.5 * wrong["epe"]
    assert right["flicker"] < wrong["flicker"]


def test_a_video_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got \(4, 32, 32\) .* wanted \(5, 32, 32\)"):
        Case(np.zeros((4, 32, 32, 3), np.uint8), still())


@pytest.mark.parametrize("name", ["cf_psnr", "cf_psnr_first", "warp_error", "epe", "angular_error"])
def test_motion_that_shows_nothing_twice_is_refused(name: str) -> None:
    motion = still(3, 16)
    motion.occluded_forward[:] = motion.occluded_backward[:] = True
    with pytest.raises(ValueError, match="no pixel that is visible in two frames"):
        measure(Case(np.zeros((3, 16, 16, 3), np.uint8), motion), [name])


def noise_video(seed: int, frames: int = 4, size: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).integers(10, 246, (frames, size, size, 3), np.uint8)


def test_cross_frame_psnr_is_its_definition_pixel_by_pixel() -> None:
    video, motion = noise_video(1), shift_motion(4, 24, 2, -1)
    squares = [
        (float(video[k + 1, y, x, c]) - float(video[k, y + 1, x - 2, c])) ** 2
        for k, y, x, c in np.ndindex(3, 24, 24, 3)
        if 0 <= y + 1 < 24 and 0 <= x - 2 < 24
    ]
    assert cross_frame_psnr(Case(video, motion)) == pytest.approx(10 * np.log10(255**2 / np.mean(squares)), abs=1e-4)


@pytest.mark.parametrize("metric", [cross_frame_psnr, first_frame_psnr, flicker, sharpness, contrast])
def test_brightness_is_no_part_of_a_metric(metric: object) -> None:
    video, motion = noise_video(2), shift_motion(4, 24, 1, 1)
    brighter = metric(Case(video + np.uint8(10), motion))  # type: ignore[operator]
    assert brighter == pytest.approx(metric(Case(video, motion)), rel=1e-5)  # type: ignore[operator]


@pytest.mark.parametrize("metric", [flicker, sharpness, contrast])
def test_half_the_contrast_is_half_the_statistic(metric: object) -> None:
    video = noise_video(3) // 2 * 2
    full, half = (metric(Case(each, still(4, 24))) for each in (video, video // 2))  # type: ignore[operator]
    assert half == pytest.approx(full / 2, rel=1e-5)


def test_a_frozen_video_is_coherent_and_its_motion_is_off_by_all_of_it() -> None:
    frozen = np.repeat(shifted(1, 64, 0, 0), 4, axis=0)
    assert cross_frame_psnr(Case(frozen, still(4, 64))) == CEILING
    assert flicker(Case(frozen, still(4, 64))) == 0
    assert endpoint_error(Case(frozen, shift_motion(4, 64, 3, 4))) == pytest.approx(5, abs=0.01)


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (2, 0), (-1, 2)])
def test_warp_error_is_nothing_for_material_that_moves_along_and_the_difference_for_one_that_brightens(
    dx: int, dy: int
) -> None:
    video, motion = shifted(5, 32, dx, dy) // 2, shift_motion(5, 32, dx, dy)
    assert warp_error(Case(video, motion)) == 0
    brighter = video + np.uint8(3) * np.arange(5, dtype=np.uint8)[:, None, None, None]
    assert warp_error(Case(brighter, motion)) == pytest.approx(3)


def test_warp_error_of_fresh_uniform_noise_has_its_closed_form() -> None:
    """Two independent uniform bytes differ by (256^2 - 1) / (3 * 256) in the mean."""
    video = np.random.default_rng(0).integers(0, 256, (9, 64, 64, 3), np.uint8)
    assert warp_error(Case(video, still(9, 64))) == pytest.approx((256**2 - 1) / 768, rel=0.01)


def test_warp_error_leaves_out_a_step_that_shows_nothing_twice() -> None:
    video, motion = noise_video(5) // 2, still(4, 24)
    video[1:] = video[0]
    video[2:] += 5
    motion.occluded_backward[0] = True
    assert warp_error(Case(video, motion)) == pytest.approx(5 / 2)


def test_material_that_was_hidden_once_is_no_longer_followed_to_the_first_frame() -> None:
    video, motion = np.full((4, 16, 16, 3), 90, np.uint8), still(4, 16)
    motion.occluded_backward[0, :, :8] = True  # what is shown there from frame 1 on is new
    video[1:, :, :8] = 30
    assert first_frame_psnr(Case(video, motion)) == CEILING
    video[3, 0, 12] = 91  # and one pixel of what was not hidden
    assert first_frame_psnr(Case(video, motion)) < CEILING


def test_luma_is_that_of_rec_601() -> None:
    primaries = np.eye(3, dtype=np.uint8)[None, None] * np.uint8(255)
    np.testing.assert_allclose(luma(primaries)[0, 0], [76.245, 149.685, 29.07], rtol=1e-5)
