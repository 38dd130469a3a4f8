"""What MUSIQ is shown, by a package of pyiqa's name whose network answers with what it saw."""

from pathlib import Path

import numpy as np
import pytest
import torch

from equivdm.errors import UsageError
from equivdm.metrics import Case, available, left_out
from equivdm.metrics.perception import image_quality
from equivdm.metrics_config import WeightsConfig

MUSIQ = '''
import torch

class MUSIQ(torch.nn.Module):
    """The score is the brightness by the weight, and what the sides add."""

    def __init__(self, pretrained=True):
        super().__init__()
        assert pretrained is False
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, picture):
        assert picture.shape[:2] == (1, 3) and 0 <= picture.min() and picture.max() <= 1
        return (self.weight * picture.mean() + picture.shape[2] / 1000 + picture.shape[3]).reshape(1, 1)
'''


@pytest.fixture
def musiq(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WeightsConfig:
    folder = tmp_path / "pyiqa" / "archs"
    folder.mkdir(parents=True)
    for package in (folder, folder.parent):
        (package / "__init__.py").touch()
    (folder / "musiq_arch.py").write_text(MUSIQ)
    monkeypatch.syspath_prepend(tmp_path)
    torch.save({"weight": torch.tensor([50.0])}, tmp_path / "musiq.pth")
    return WeightsConfig(quality=str(tmp_path / "musiq.pth"))


def test_frames_are_shown_one_by_one_and_large_ones_shrunk(musiq: WeightsConfig) -> None:
    levels = np.array([0, 255], np.uint8)[:, None, None, None]
    small, large = (np.broadcast_to(levels, (2, *size, 3)).copy() for size in ((48, 80), (300, 1024)))
    assert image_quality(Case(small, weights=musiq)) == pytest.approx((25 + 0.048 + 80) / 100)
    assert image_quality(Case(large, weights=musiq)) == pytest.approx((25 + 0.150 + 512) / 100)


def test_weights_of_another_network_are_refused(musiq: WeightsConfig, tmp_path: Path) -> None:
    torch.save({"bias": torch.zeros(1)}, tmp_path / "other.pth")
    case = Case(np.zeros((2, 16, 16, 3), np.uint8), weights=WeightsConfig(quality=str(tmp_path / "other.pth")))
    with pytest.raises(
        UsageError, match=r"^weights.quality: .*other.pth is not MUSIQ's: give the file of docs/metrics"
    ):
        image_quality(case)


def test_it_is_left_out_with_what_is_absent() -> None:
    have = available(WeightsConfig(quality="musiq.pth")) - {"package pyiqa"}
    assert left_out(["image_quality"], have) == {"image_quality": "image_quality: needs package pyiqa"}
    both = left_out(["image_quality"], available(WeightsConfig()) - {"package pyiqa"})
    assert both["image_quality"] == "image_quality: needs weights.quality and package pyiqa"
