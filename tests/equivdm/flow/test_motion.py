"""DIS against exact flow: rendered scenes at two sizes, and a frame of Sintel with published ground truth."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from equivdm.config import FlowConfig, OcclusionConfig
from equivdm.flow import Motion, estimate_motion, occlusion_of
from equivdm.flow.formats import read_flo
from equivdm.video.synthetic import Scene, render_scene


def _errors(scene: Scene, motion: Motion) -> np.ndarray:
    visible = ~scene.occluded_forward
    return np.linalg.norm(motion.forward - scene.forward, axis=-1)[visible]


@pytest.mark.parametrize(("size", "bound"), [(64, 0.16), (256, 0.36)])
def test_error_on_rendered_scenes(size: int, bound: float) -> None:
    scenes = [render_scene(seed, frames=2, height=size, width=size) for seed in range(4)]
    errors = [_errors(scene, estimate_motion(scene.frames, FlowConfig())).mean() for scene in scenes]
    assert np.mean(errors) < bound


def test_error_on_sintel(assets: Path) -> None:
    names = [assets / "flow_gt" / f"sintel_alley_1_frame_000{k}.png" for k in (1, 2)]
    frames = np.stack([np.asarray(cv2.imread(str(name), cv2.IMREAD_COLOR_RGB)) for name in names])
    truth = read_flo(assets / "flow_gt" / "sintel_alley_1_frame_0001.flo")
    motion = estimate_motion(frames, FlowConfig())
    # Mean speed 2.8 px. 0.29 px was measured; RAFT-small has 0.24.
    assert np.linalg.norm(motion.forward[0] - truth, axis=-1).mean() < 0.32


def test_turned_pictures_have_turned_flow() -> None:
    frames = render_scene(5, frames=2, height=64, width=64).frames
    flow = estimate_motion(frames, FlowConfig()).forward[0]
    turned = estimate_motion(np.ascontiguousarray(frames[:, ::-1, ::-1]), FlowConfig()).forward[0]
    # Interpolation and the order of the search differ a little; two thousandths of the frame do not matter here.
    assert np.linalg.norm(turned[::-1, ::-1] + flow, axis=-1).mean() < 0.1


def test_threads_do_not_change_the_result() -> None:
    frames = render_scene(2, frames=2, height=128, width=192).frames
    before, results = cv2.getNumThreads(), []
    try:
        for threads in (1, 2, 5):
            cv2.setNumThreads(threads)
            results.append(estimate_motion(frames, FlowConfig()).forward)
    finally:
        cv2.setNumThreads(before)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_a_still_clip_has_no_motion() -> None:
    frames = np.repeat(render_scene(1, frames=1, height=32, width=48).frames, 3, axis=0)
    motion = estimate_motion(frames, FlowConfig())
    assert np.abs(motion.forward).max() < 1e-3
    assert not motion.occluded_forward.any()
    assert motion.backward.shape == (2, 32, 48, 2)


@pytest.mark.parametrize("shape", [(1, 64, 64, 3), (4, 8, 64, 3)])
def test_wrong_arguments_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least 2 frames of 16x16"):
        estimate_motion(np.zeros(shape, np.uint8), FlowConfig())


def test_a_clip_played_backwards_has_its_motions_swapped() -> None:
    frames = render_scene(3, frames=4, height=48, width=64).frames
    there = estimate_motion(frames, FlowConfig())
    back = estimate_motion(np.ascontiguousarray(frames[::-1]), FlowConfig())
    np.testing.assert_array_equal(back.forward, there.backward[::-1])
    np.testing.assert_array_equal(back.occluded_forward, there.occluded_backward[::-1])


def test_a_step_knows_its_two_frames_only() -> None:
    frames = render_scene(4, frames=4, height=32, width=48).frames
    whole, part = estimate_motion(frames, FlowConfig()), estimate_motion(frames[1:3], FlowConfig())
    np.testing.assert_array_equal(whole.forward[1:2], part.forward)
    np.testing.assert_array_equal(whole.occluded_backward[1:2], part.occluded_backward)


@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
def test_every_preset_finds_a_pan(preset: str) -> None:
    """A window that slides by (3, -2) px over a picture: away from the border the flow is just that."""
    picture = render_scene(5, frames=1, height=96, width=96).frames[0]
    frames = np.stack([picture[16:80, 16:80], picture[18:82, 13:77]])
    flow = estimate_motion(frames, FlowConfig.model_validate({"preset": preset})).forward[0, 8:-8, 8:-8]
    assert np.linalg.norm(np.median(flow, axis=(0, 1)) - (3, -2)) < 0.1


def test_slack_decides_what_counts_as_hidden() -> None:
    frames = render_scene(2, frames=2, height=48, width=48).frames
    shares = [
        estimate_motion(frames, FlowConfig(occlusion=OcclusionConfig(absolute=slack))).occluded_forward.mean()
        for slack in (0, 0.5, 50)
    ]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[-1]


def test_without_backward_flow_only_what_leaves_is_hidden() -> None:
    forward = np.full((2, 8, 10, 2), (3, 0), np.float32)
    forward[0, 4, 4] = np.nan
    hidden, unknown = occlusion_of(forward, None, OcclusionConfig())
    assert unknown is None
    wanted = np.zeros((2, 8, 10), bool)
    wanted[:, :, 7:] = wanted[0, 4, 4] = True
    np.testing.assert_array_equal(hidden, wanted)


def test_an_unknown_vector_of_either_flow_shows_nothing() -> None:
    still = np.zeros((1, 6, 6, 2), np.float32)
    hole = still.copy()
    hole[0, 2, 3, 1] = np.nan
    for forward, backward in ((hole, still), (still, hole)):
        for mask in occlusion_of(forward, backward, OcclusionConfig()):
            assert mask is not None
            assert mask[0, 2, 3]
        assert occlusion_of(forward, backward, OcclusionConfig())[0].sum() <= 4
