"""Dense conditions on pictures whose edges are known."""

import numpy as np
import pytest

from equivdm.config import ControlConfig
from equivdm.control import control_map
from equivdm.video.synthetic import render_scene


def step_edge(column: int) -> np.ndarray:
    """Two frames, dark left of a column and bright from it on."""
    frames = np.full((2, 32, 32, 3), 40, np.uint8)
    frames[:, :, column:] = 200
    return frames


@pytest.mark.parametrize("kind", ["soft_edge", "canny"])
def test_edges_lie_where_the_picture_changes(kind: str) -> None:
    control = control_map(step_edge(12), ControlConfig.model_validate({"kind": kind}))
    assert control.shape == (2, 32, 32)
    assert control[:, :, 11:13].max() == 255
    assert control[:, :, :8].max() == control[:, :, 17:].max() == 0


@pytest.mark.parametrize("kind", ["soft_edge", "canny"])
def test_a_shifted_video_has_shifted_edges(kind: str) -> None:
    config = ControlConfig.model_validate({"kind": kind})
    first, second = control_map(step_edge(12), config), control_map(step_edge(17), config)
    np.testing.assert_array_equal(first[:, :, 4:20], second[:, :, 9:25])


def test_grey_keeps_brightness_and_loses_detail() -> None:
    frames = render_scene(1, frames=3, height=48, width=48).frames
    grey = control_map(frames, ControlConfig(kind="grey"))
    luma = frames @ np.array([0.299, 0.587, 0.114])
    assert grey.mean() == pytest.approx(luma.mean(), abs=1)
    assert np.abs(np.diff(grey.astype(float))).mean() < 0.95 * np.abs(np.diff(luma)).mean()


def test_canny_is_binary_and_none_is_empty() -> None:
    frames = render_scene(1, frames=3, height=48, width=48).frames
    assert set(np.unique(control_map(frames, ControlConfig(kind="canny")))) == {0, 255}
    assert not control_map(frames, ControlConfig(kind="none")).any()


@pytest.mark.parametrize("kind", ["soft_edge", "canny"])
def test_a_flat_video_has_no_edges(kind: str) -> None:
    noise = np.random.default_rng(0).integers(128, 130, (3, 32, 32, 3), np.uint8)
    assert not control_map(noise, ControlConfig.model_validate({"kind": kind})).any()


def test_contrast_does_not_matter() -> None:
    frames = render_scene(2, frames=3, height=48, width=48).frames
    full, half = (control_map(f, ControlConfig()).astype(int) for f in (frames, frames // 2))
    assert np.abs(full - half).mean() < 4
