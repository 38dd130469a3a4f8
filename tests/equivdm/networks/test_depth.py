"""Depth networks of random weights, from the two forms that they come in."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

from equivdm.errors import UsageError
from equivdm.networks.depth import Depth, InputForm


class Luma(torch.nn.Module):
    """ "Depth" that is known: the sum of the normalised channels, at half the size."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(pictures.sum(1, keepdim=True), 2)


def scripted(path: Path) -> str:
    """Save it as TorchScript."""
    torch.jit.script(Luma()).save(str(path))
    return str(path)


def depth_anything(folder: Path, kind: str = "relative") -> str:
    """Save a Depth Anything of the least size and random weights, as from_pretrained reads it."""
    backbone = Dinov2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=28,
        patch_size=14,
        out_features=["stage1", "stage2"],
        reshape_hidden_states=False,
        apply_layernorm=True,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        patch_size=14,
        reassemble_hidden_size=16,
        reassemble_factors=[2, 1],
        neck_hidden_sizes=[8, 8],
        fusion_hidden_size=8,
        head_hidden_size=4,
        depth_estimation_type=kind,
        max_depth=20 if kind == "metric" else 1,
    )
    torch.manual_seed(0)
    DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    said = {"size": {"height": 28, "width": 28}, "ensure_multiple_of": 14, "keep_aspect_ratio": True}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    return str(folder)


def ramp(frames: int = 3, height: int = 40, width: int = 70) -> np.ndarray:
    """Grey that rises to the right."""
    row = np.linspace(0, 255, width).astype(np.uint8)
    return np.broadcast_to(row[None, None, :, None], (frames, height, width, 3)).copy()


def test_a_torchscript_module_sees_normalised_rgb_and_its_map_has_the_frames_size(tmp_path: Path) -> None:
    frames = np.empty((5, 30, 50, 3), np.uint8)
    frames[:] = (51, 102, 204)  # RGB of 0.2, 0.4, 0.8
    maps = Depth(scripted(tmp_path / "m.pt"), device="cpu")(frames)
    wanted = (0.2 - 0.485) / 0.229 + (0.4 - 0.456) / 0.224 + (0.8 - 0.406) / 0.225
    assert maps.shape == (5, 30, 50)
    np.testing.assert_allclose(maps, wanted, rtol=1e-4)


def test_maps_lie_on_the_frames(tmp_path: Path) -> None:
    maps = Depth(scripted(tmp_path / "m.pt"), device="cpu")(ramp())
    level = maps[0, 20]
    assert np.abs(level - np.linspace(level[0], level[-1], 70)).max() < 0.05 * (level[-1] - level[0])


def test_a_folder_of_transformers_gives_the_model_s_own_map(tmp_path: Path) -> None:
    folder = depth_anything(tmp_path / "m")
    frames = np.random.default_rng(0).integers(0, 256, (2, 28, 42, 3), np.uint8)
    maps = Depth(folder, device="cpu")(frames)
    model = DepthAnythingForDepthEstimation.from_pretrained(folder).eval()
    mean, deviation = (torch.tensor(each).view(3, 1, 1) for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    pictures = (torch.tensor(frames).permute(0, 3, 1, 2).float() / 255 - mean) / deviation
    with torch.no_grad():
        wanted = model(pixel_values=pictures).predicted_depth
    assert wanted.shape == maps.shape
    assert maps.std() > 0
    np.testing.assert_allclose(maps, wanted.numpy(), atol=1e-5)


def test_metric_depth_is_turned_over(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (1, 28, 42, 3), np.uint8)
    folder = depth_anything(tmp_path / "m", "metric")
    maps = Depth(folder, device="cpu")(frames)
    assert (maps >= 1 / 20 - 1e-6).all()  # 20 m is the farthest that it knows


def test_frames_do_not_see_each_other(tmp_path: Path) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (6, 28, 28, 3), np.uint8)
    depth = Depth(depth_anything(tmp_path / "m"), device="cpu")
    np.testing.assert_allclose(depth(frames)[4:], depth(frames[4:]), atol=1e-5)


@pytest.mark.parametrize(
    ("form", "size", "wanted"),
    [
        (InputForm(), (480, 832), (480, 832)),
        (InputForm(), (64, 64), (64, 64)),
        (InputForm(), (10, 10), (32, 32)),
        (InputForm(518, 14), (480, 832), (518, 896)),
        (InputForm(518, 14), (832, 480), (896, 518)),
    ],
)
def test_frames_are_scaled_to_what_the_network_takes(
    form: InputForm, size: tuple[int, int], wanted: tuple[int, int]
) -> None:
    assert form.size(*size) == wanted


def test_what_is_no_model_is_refused_with_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"/no/depth.pt cannot be read \(No such file"):
        Depth("/no/depth.pt")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(UsageError, match=r"text.pt is no TorchScript file .*: give one, or a folder"):
        Depth(str(tmp_path / "text.pt"))
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("{}")
    with pytest.raises(UsageError, match=r"m holds no AutoModelForDepthEstimation .*: give a folder of one"):
        Depth(str(tmp_path / "m"))
