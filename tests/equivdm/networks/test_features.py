"""What FID's and FVD's networks are shown and asked, by modules that answer with what they saw."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from equivdm.errors import UsageError
from equivdm.metrics import FEATURES, SET_METRICS
from equivdm.metrics_config import WeightsConfig
from equivdm.networks.features import i3d_features, inception_features


class Colours(torch.nn.Module):
    """Stands where Inception does: the mean colour of each frame, and its size, of bytes only."""

    def forward(self, img: Tensor, return_features: bool = False) -> Tensor:
        assert img.dtype == torch.uint8
        assert return_features
        size = torch.full((img.shape[0], 1), float(img.shape[3]))
        return torch.cat([img.float().mean((2, 3)), size], dim=1)


class Clips(torch.nn.Module):
    """Stands where I3D does: mean, least and largest value, the first row's, and the shape."""

    def forward(self, x: Tensor, rescale: bool = True, resize: bool = True, return_features: bool = False) -> Tensor:
        assert not rescale
        assert not resize
        assert return_features
        seen = torch.stack([x.mean(), x.min(), x.max(), x[0, 0, 0, 100, 0], x[0, 0, 0, 100, 223]])
        return torch.cat([seen, torch.tensor(x.shape[1:])])[None]


class Images(torch.nn.Module):
    """A module of another kind."""

    def forward(self, image: Tensor) -> Tensor:
        return image


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[torch.nn.Module], str]:
    def save(module: torch.nn.Module) -> str:
        path = str(tmp_path / f"{type(module).__name__}.pt")
        torch.jit.script(module).save(path)
        return path

    return save


def test_inception_is_shown_bytes_and_gives_a_row_a_frame(saved: Callable[[torch.nn.Module], str]) -> None:
    frames = np.zeros((20, 16, 24, 3), np.uint8)
    frames[:] = (10, 20, 30)
    frames[17] = (40, 50, 60)
    features = inception_features(frames, saved(Colours()), "cpu")
    assert features.shape == (20, 4)
    assert features[0].tolist() == [10, 20, 30, 24]
    assert features[17].tolist() == [40, 50, 60, 24]


@pytest.mark.parametrize(("height", "width"), [(32, 64), (64, 32), (48, 48), (300, 500)])
def test_i3d_is_shown_the_middle_at_its_size_from_minus_1_to_1(
    saved: Callable[[torch.nn.Module], str], height: int, width: int
) -> None:
    """A ramp to the right: at the square's edges it is what a scale about the middle says."""
    ramp = (np.arange(width) / (width - 1) * 255).round().astype(np.uint8)
    frames = np.broadcast_to(ramp[None, None, :, None], (9, height, width, 3)).copy()
    (row,) = i3d_features(frames, saved(Clips()), "cpu")
    assert row[5:].tolist() == [3, 9, 224, 224]
    half = 223 / 2 * min(height, width) / 224
    at = (width - 1) / 2 + np.array([-half, half])
    edges = np.interp(at, np.arange(width), ramp / 127.5 - 1)
    np.testing.assert_allclose(row[3:5], edges, atol=0.02)
    assert row[0] == pytest.approx(0, abs=0.02)


def test_a_clip_that_is_too_short_for_i3d_is_refused() -> None:
    with pytest.raises(ValueError, match="frames: got 8, wanted at least 9 for FVD"):
        i3d_features(np.zeros((8, 16, 16, 3), np.uint8), "any.pt", "cpu")


def test_another_module_is_refused_by_its_arguments(saved: Callable[[torch.nn.Module], str]) -> None:
    frames = np.zeros((9, 16, 16, 3), np.uint8)
    with pytest.raises(UsageError, match=r"^weights.inception: .* takes image, wanted a module that takes return_feat"):
        inception_features(frames, saved(Images()), "cpu")
    with pytest.raises(UsageError, match=r"^weights.i3d: .*Colours.pt takes img, return_features, wanted a module tha"):
        i3d_features(frames, saved(Colours()), "cpu")
    with pytest.raises(UsageError, match=r"/no/such.pt cannot be read"):
        inception_features(frames, "/no/such.pt", "cpu")


def test_set_metrics_of_videos_have_their_closed_form(saved: Callable[[torch.nn.Module], str]) -> None:
    """Frames of one colour: the features are the colours. A shift of all of them by 3 levels is 3 * 3^2 in FID."""
    weights = WeightsConfig(inception=saved(Colours()), i3d=saved(Clips()))
    levels = np.random.default_rng(0).integers(0, 200, (4, 9, 1, 1, 3))
    videos = [np.broadcast_to(each, (9, 16, 16, 3)).astype(np.uint8) for each in levels]

    def features(of: str, shift: int) -> list[np.ndarray]:
        return [FEATURES[of](video + np.uint8(shift), weights, "cpu") for video in videos]

    rows = np.concatenate([levels.reshape(-1, 3), np.full((36, 1), 16)], axis=1)
    others = ~np.eye(36, dtype=bool)

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ y.T / 4 + 1.0) ** 3

    def discrepancy(y: np.ndarray) -> float:
        return kernel(rows, rows)[others].mean() + kernel(y, y)[others].mean() - 2 * kernel(rows, y).mean()

    for name, metric in SET_METRICS.items():
        plain, same, moved = (features(metric.features, shift) for shift in (0, 0, 3))
        if name == "kid":
            assert metric.compare(plain, same) == pytest.approx(discrepancy(rows), rel=1e-6)
            assert metric.compare(plain, moved) == pytest.approx(discrepancy(rows + np.array([3, 3, 3, 0])), rel=1e-6)
        else:
            expected = 27 if name == "fid" else 5 * (3 / 127.5) ** 2
            assert metric.compare(plain, same) == pytest.approx(0, abs=1e-4)
            assert metric.compare(plain, moved) == pytest.approx(expected, abs=1e-2 if name == "fid" else 1e-4)


def test_a_video_as_a_set_of_features_needs_its_network() -> None:
    with pytest.raises(ValueError, match=r"weights.i3d: got none, wanted a path"):
        FEATURES["i3d"](np.zeros((9, 16, 16, 3), np.uint8), WeightsConfig(), "cpu")
