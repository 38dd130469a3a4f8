"""The ground truth of rendered scenes is true."""

import cv2
import numpy as np
import pytest

from equivdm.flow import occlusion, warp_back
from equivdm.video.synthetic import Scene, render_scene


def _psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    error = np.square(a.astype(np.float64) - b)[where].mean()
    return 10 * np.log10(255**2 / error)


@pytest.fixture(scope="module", params=[(0, 64, 64), (5, 64, 96), (1, 256, 256)], ids=str)
def scene(request: pytest.FixtureRequest) -> Scene:
    seed, height, width = request.param
    return render_scene(seed, frames=5, height=height, width=width)


def test_next_frame_warped_back_is_this_frame(scene: Scene) -> None:
    for k in range(4):
        # A pixel's square reaches half a pixel around it, so a boundary within that reach mixes two layers.
        clear = ~_near(scene.forward[k], scene.occluded_forward[k])
        assert clear.mean() > 0.5
        warped = warp_back(scene.frames[k + 1], scene.forward[k])
        assert _psnr(scene.frames[k], warped, clear) > 31
        # Ignoring the motion is far worse: the flow carries the agreement.
        assert _psnr(scene.frames[k], scene.frames[k + 1], clear) < _psnr(scene.frames[k], warped, clear) - 6


def test_backward_flow_agrees_too(scene: Scene) -> None:
    for k in range(4):
        clear = ~_near(scene.backward[k], scene.occluded_backward[k])
        assert _psnr(scene.frames[k + 1], warp_back(scene.frames[k], scene.backward[k]), clear) > 31


def test_occlusion_agrees_with_forward_backward_check(scene: Scene) -> None:
    """Exact flows disagree just where one layer hides another, up to bilinear mixing at the layers' edges."""
    checked = occlusion(scene.forward, scene.backward, absolute=0.05, relative=0.0)
    for k in range(4):
        here = _near(scene.forward[k], scene.occluded_forward[k])
        there = warp_back(_near(scene.backward[k], scene.occluded_backward[k]).astype(np.float32), scene.forward[k]) > 0
        assert not (checked[k] & ~here & ~there).any()
        assert (checked[k] & scene.occluded_forward[k]).sum() > 0.8 * scene.occluded_forward[k].sum()


def test_same_seed_same_bytes_and_other_seed_other_scene() -> None:
    first, again, other = (render_scene(seed, frames=3, height=48, width=64) for seed in (7, 7, 8))
    for name in ("frames", "forward", "backward", "occluded_forward", "occluded_backward"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()
    assert first.frames.tobytes() != other.frames.tobytes()


def test_a_longer_clip_begins_with_the_shorter_one() -> None:
    short, long = (render_scene(7, frames=frames, height=48, width=64) for frames in (3, 6))
    np.testing.assert_array_equal(long.frames[:3], short.frames)


def test_flow_scales_with_the_frame() -> None:
    small, large = (render_scene(3, frames=2, height=size, width=size) for size in (64, 128))
    ratio = np.linalg.norm(large.forward, axis=-1).mean() / np.linalg.norm(small.forward, axis=-1).mean()
    assert ratio == pytest.approx(2, abs=0.05)


def test_motion_is_in_the_range_that_small_clips_need() -> None:
    speeds = [np.linalg.norm(render_scene(s, frames=8, height=64, width=64).forward, axis=-1).mean() for s in range(12)]
    assert min(speeds) > 0.4
    assert max(speeds) < 2.5


def test_caption_is_one_sentence_about_shapes_and_camera() -> None:
    caption = render_scene(0, frames=1, height=64, width=64).caption
    assert caption.endswith(".")
    assert "camera pans" in caption
    assert any(shape in caption for shape in ("disc", "box"))


@pytest.mark.parametrize("size", [(0, 64, 64), (2, 8, 64)])
def test_wrong_arguments_are_refused(size: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="at least 1 frame of 16x16"):
        render_scene(0, frames=size[0], height=size[1], width=size[2])


def _near(flow: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Within two pixels of a jump of the flow, or next to a hidden pixel."""
    across = np.pad(np.linalg.norm(np.diff(flow, axis=1), axis=-1), ((0, 0), (0, 1)))
    down = np.pad(np.linalg.norm(np.diff(flow, axis=0), axis=-1), ((0, 1), (0, 0)))
    edge = ((across > 0.15) | (down > 0.15) | hidden).astype(np.uint8)
    return cv2.dilate(edge, np.ones((3, 3), np.uint8), iterations=2).astype(bool)
