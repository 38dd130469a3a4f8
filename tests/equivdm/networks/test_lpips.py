"""LPIPS at random weights against its definition written out, and what any weights must give."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from equivdm.errors import UsageError
from equivdm.metrics import Case, measure
from equivdm.metrics_config import WeightsConfig
from equivdm.networks.lpips import load_lpips, lpips_distances

CHANNELS = (64, 192, 384, 256, 256)


def alexnet() -> nn.Sequential:
    """Torchvision's `alexnet().features`, layer by layer, but for the last pooling."""
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, 1, 1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU()),
    )


def learned() -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.rand(1, channels, 1, 1) for channels in CHANNELS]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> WeightsConfig:
    """Files as the public ones are: the first with a classifier, which is not read."""
    folder = tmp_path_factory.mktemp("lpips")
    state = {f"features.{name}": value for name, value in alexnet().state_dict().items()}
    torch.save(state | {"classifier.1.weight": torch.zeros(3)}, folder / "alexnet.pth")
    torch.save({f"lin{k}.model.1.weight": each for k, each in enumerate(learned())}, folder / "lin.pth")
    return WeightsConfig(lpips=str(folder / "alexnet.pth"), lpips_linear=str(folder / "lin.pth"))


def distances(weights: WeightsConfig, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return lpips_distances(one, other, weights.path("lpips"), weights.path("lpips_linear"), "cpu").numpy()


def noise(seed: int, frames: int = 2, height: int = 64, width: int = 48) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), np.uint8)


def by_hand(one: np.ndarray, other: np.ndarray) -> float:
    """One pair of pictures, step by step."""
    shift, scale = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
    total, layers = 0.0, alexnet()
    maps = [
        torch.tensor((picture / 127.5 - 1 - shift) / scale, dtype=torch.float32).permute(2, 0, 1)[None]
        for picture in (one, other)
    ]
    taken = iter(learned())
    for layer in layers:
        maps = [layer(each) for each in maps]
        if isinstance(layer, nn.ReLU):
            weight = next(taken)[0, :, 0, 0].numpy()
            a, b = (each[0].detach().numpy() for each in maps)
            for y, x in np.ndindex(a.shape[1:]):
                gap = a[:, y, x] / (np.linalg.norm(a[:, y, x]) + 1e-10) - b[:, y, x] / (
                    np.linalg.norm(b[:, y, x]) + 1e-10
                )
                total += (weight * gap**2).sum() / (a.shape[1] * a.shape[2])
    return total


def test_distances_are_the_definition_s(weights: WeightsConfig) -> None:
    one, other = noise(2), noise(3)
    expected = [by_hand(a, b) for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(distances(weights, one, other), expected, rtol=1e-4)
    value = measure(Case(one, reference=other, weights=weights), ["lpips"])["lpips"]
    assert value == pytest.approx(np.mean(expected), rel=1e-4)


def test_a_picture_has_no_distance_from_itself_and_two_have_the_same_both_ways(weights: WeightsConfig) -> None:
    one, other = noise(4, 18, 32, 32), noise(5, 18, 32, 32)  # more pairs than are compared at once
    assert distances(weights, one, one).tolist() == [0] * 18
    there, back = distances(weights, one, other), distances(weights, other, one)
    np.testing.assert_array_equal(there, back)
    assert there.min() > 0


def test_more_noise_is_farther(weights: WeightsConfig) -> None:
    picture = noise(6, 1, 32, 32) // 2
    noisier = [distances(weights, picture, picture + (noise(7, 1, 32, 32) // share))[0] for share in (32, 8, 2)]
    assert noisier == sorted(noisier)


def test_the_published_linear_weights_fit(weights: WeightsConfig, assets: Path) -> None:
    file = assets / "weights" / "lpips_v0.1_lin_alex.pth"
    if not file.is_file():
        pytest.skip(f"no learned weights of LPIPS at {file}")
    network = load_lpips(weights.path("lpips"), str(file), "cpu")
    assert all((weight >= 0).all() and weight.max() > 0.1 for weight in network.linear)
    assert (network.linear[0].flatten()[:3] != 0).any()


def test_other_weights_and_frames_that_are_too_small_are_refused(weights: WeightsConfig, tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "other.pth")
    with pytest.raises(
        UsageError, match=r"other.pth is not LPIPS': 10 tensors are missing, .* such as 'features.0.bia"
    ):
        load_lpips(str(tmp_path / "other.pth"), weights.path("lpips_linear"), "cpu")
    with pytest.raises(UsageError, match=r"alexnet.pth is not LPIPS': 5 tensors .* such as 'linear.0'"):
        load_lpips(weights.path("lpips"), weights.path("lpips"), "cpu")
    with pytest.raises(ValueError, match=r"got \(31, 48\), wanted sides of 32 px at least"):
        distances(weights, noise(8, height=31), noise(9, height=31))
