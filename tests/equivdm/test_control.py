"""Dense conditions on pictures whose edges are known."""

from pathlib import Path

import numpy as np
import pytest
import torch

from equivdm.config import ControlConfig
from equivdm.control import build_control, control_identity, control_map
from equivdm.errors import UsageError
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


KINDS = ["none", "grey", "soft_edge", "canny", "low_resolution", "video"]
COLOUR = ("low_resolution", "video")


@pytest.mark.parametrize("kind", KINDS)
def test_a_condition_has_a_byte_for_every_pixel_also_of_one_frame(kind: str) -> None:
    frames = render_scene(1, frames=1, height=33, width=47).frames
    control = control_map(frames, ControlConfig.model_validate({"kind": kind}))
    assert control.shape == ((1, 33, 47, 3) if kind in COLOUR else (1, 33, 47))
    assert control.dtype == np.uint8


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_the_frames_is_that_of_the_conditions(kind: str) -> None:
    """One scale for the whole clip, and nothing that runs on from frame to frame."""
    frames, config = render_scene(3, frames=5, height=32, width=48).frames, ControlConfig.model_validate({"kind": kind})
    order = [3, 0, 4, 1, 2]
    np.testing.assert_array_equal(control_map(frames[order], config), control_map(frames, config)[order])


@pytest.mark.parametrize("kind", ["grey", "soft_edge", *COLOUR])
@pytest.mark.parametrize("axis", [1, 2])
def test_a_mirrored_video_has_a_mirrored_condition(kind: str, axis: int) -> None:
    frames, config = render_scene(3, frames=2, height=32, width=48).frames, ControlConfig.model_validate({"kind": kind})
    mirrored = control_map(np.ascontiguousarray(np.flip(frames, axis)), config).astype(int)
    assert np.abs(np.flip(mirrored, axis) - control_map(frames, config)).max() <= 1


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_low_resolution_keeps_what_a_small_video_has_and_no_more(factor: int) -> None:
    """It follows from the means of blocks, and of a smooth video, which has nothing beyond them, it is the video."""
    config = ControlConfig(kind="low_resolution", factor=factor)
    sharp = render_scene(1, frames=2, height=64, width=96).frames
    blocks = sharp.reshape(2, 64 // factor, factor, 96 // factor, factor, 3).mean((2, 4)).round().astype(np.uint8)
    blurred = blocks.repeat(factor, 1).repeat(factor, 2)
    assert np.abs(control_map(sharp, config).astype(int) - control_map(blurred, config)).max() <= 2
    assert (
        np.abs(np.diff(control_map(sharp, config).astype(int), axis=2)).max()
        < np.abs(np.diff(sharp.astype(int), axis=2)).max()
    )
    y, x = np.mgrid[:64, :96]
    smooth = np.stack([64 + 2 * x / 2, 220 - 2 * y, 100 + x / 2 + y / 2], -1).astype(np.uint8)[None]
    inner = np.s_[:, 2 * factor : -2 * factor, 2 * factor : -2 * factor]
    assert np.abs(control_map(smooth, config).astype(int) - smooth)[inner].max() <= 2


def test_the_video_as_a_condition_is_the_video() -> None:
    frames = render_scene(1, frames=2, height=32, width=48).frames
    np.testing.assert_array_equal(control_map(frames, ControlConfig(kind="video")), frames)


@pytest.mark.parametrize("level", [0, 77, 255])
def test_grey_of_a_flat_video_is_its_level(level: int) -> None:
    assert (control_map(np.full((2, 16, 16, 3), level, np.uint8), ControlConfig(kind="grey")) == level).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_built_condition_is_the_condition(kind: str) -> None:
    config = ControlConfig.model_validate({"kind": kind})
    control = build_control(config)
    for seed in (1, 2):
        frames = render_scene(seed, frames=2, height=32, width=48).frames
        np.testing.assert_array_equal(control(frames), control_map(frames, config))


class FirstChannel(torch.nn.Module):
    """ "Depth" that is known: red, without its normalisation."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures[:, 0] * 0.229 + 0.485


@pytest.fixture(scope="module")
def depth(tmp_path_factory: pytest.TempPathFactory) -> ControlConfig:
    """A depth model that says how red a picture is."""
    path = tmp_path_factory.mktemp("depth") / "model.pt"
    torch.jit.script(FirstChannel()).save(str(path))
    return ControlConfig(kind="depth", model=str(path))


def test_depth_has_one_scale_for_the_whole_clip(depth: ControlConfig) -> None:
    """A frame between near and far is grey, though nothing in it is nearer than the rest."""
    frames = np.zeros((5, 32, 32, 3), np.uint8)
    frames[:, :, :, 0] = np.array([20, 60, 100, 140, 180])[:, None, None]
    control = build_control(depth)(frames)
    assert control.shape == (5, 32, 32)
    assert [int(each) for each in control[:, 16, 16]] == [0, 64, 128, 191, 255]
    assert (control == control[:, :1, :1]).all()


def test_stray_depths_do_not_flatten_the_rest(depth: ControlConfig) -> None:
    frames = np.full((2, 64, 64, 3), 100, np.uint8)
    frames[:, :, 32:] = 140
    usual = build_control(depth)(frames)
    frames[0, 10, 10] = 255
    assert (build_control(depth)(frames)[1] == usual[1]).all()
    assert (usual[:, :, 60].min(), usual[:, :, 4].max()) == (255, 0)


def test_what_lies_in_files_is_not_computed() -> None:
    with pytest.raises(UsageError, match=r"^control.kind: got file, wanted another"):
        build_control(ControlConfig(kind="file"))


def test_flat_depth_is_black(depth: ControlConfig) -> None:
    assert not build_control(depth)(np.full((2, 32, 32, 3), 90, np.uint8)).any()


def test_kind_and_model_name_a_condition_and_its_place_does_not(depth: ControlConfig, tmp_path: Path) -> None:
    assert depth.model is not None
    copy, other = tmp_path / "copy.pt", tmp_path / "other.pt"
    copy.write_bytes(Path(depth.model).read_bytes())
    other.write_bytes(b"another")
    assert control_identity(depth) == control_identity(ControlConfig(kind="depth", model=str(copy)))
    configs = [depth, ControlConfig(kind="depth", model=str(other))]
    configs += [ControlConfig.model_validate({"kind": kind}) for kind in KINDS]
    configs += [ControlConfig(kind="low_resolution", factor=2)]
    assert control_identity(ControlConfig(kind="canny", factor=8)) == control_identity(ControlConfig(kind="canny"))
    assert len({tuple(sorted(control_identity(config).items())) for config in configs}) == len(configs)
