"""RAFT on a GPU, with random weights of torchvision's own network: what holds whatever it has learnt."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch

from equivdm.errors import UsageError
from equivdm.networks.raft import Raft

pytestmark = pytest.mark.gpu

HEIGHT, WIDTH = 140, 172
"""No multiple of 8."""


@pytest.fixture(scope="module", params=["raft_small", "raft_large"])
def weights(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of random weights."""
    models = importlib.import_module("torchvision.models.optical_flow")
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("raft") / f"{request.param}.pth"
    torch.save(getattr(models, request.param)(weights=None).state_dict(), path)
    return str(path)


def clip(frames: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Smooth random pictures."""
    coarse = torch.rand(frames, 3, 9, 9, generator=torch.Generator().manual_seed(1))
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    return np.ascontiguousarray((255 * smooth).byte().permute(0, 2, 3, 1).numpy())


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """Mean end-point distance over the mean speed of the first."""
    return float(np.linalg.norm(first - second, axis=-1).mean() / np.linalg.norm(first, axis=-1).mean())


def test_a_clip_played_backwards_has_its_flows_swapped(weights: str, device: str) -> None:
    frames, raft = clip(4), Raft(weights, updates=3, batch=6, device=device)
    forward, backward = raft(frames)
    assert forward.shape == backward.shape == (3, HEIGHT, WIDTH, 2)
    assert forward.dtype == np.float32
    turned_forward, turned_backward = raft(np.ascontiguousarray(frames[::-1]))
    assert distance(backward[::-1], turned_forward) < 0.01
    assert distance(forward[::-1], turned_backward) < 0.01
    assert distance(forward, backward) > 0.1


def test_the_size_of_a_batch_changes_rounding_only(weights: str, device: str) -> None:
    frames = clip(5)
    one, many = (Raft(weights, updates=3, batch=batch, device=device)(frames)[0] for batch in (1, 7))
    assert distance(one, many) < 0.02


def test_half_precision_is_near_the_host_s_full(weights: str, device: str) -> None:
    frames = clip(2)
    there, here = (Raft(weights, updates=3, device=each)(frames)[0] for each in (device, "cpu"))
    assert distance(here, there) < 0.05


def test_small_frames_are_enlarged_for_the_network(weights: str, device: str) -> None:
    forward, _ = Raft(weights, updates=2, device=device)(clip(2, 40, 64))
    assert forward.shape == (1, 40, 64, 2)
    assert np.isfinite(forward).all()


def test_other_weights_are_refused(weights: str, device: str, tmp_path: Path) -> None:
    state = torch.load(weights, weights_only=True)
    state["update_block.flow_head.conv2.bias"] = torch.zeros(3)
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(UsageError, match=r"is not RAFT's: 1 tensors .* 'update_block.flow_head.conv2.bias'"):
        Raft(str(tmp_path / "other.pth"), device=device)
