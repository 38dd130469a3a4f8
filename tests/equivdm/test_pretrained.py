"""The weights that come with the package."""

import pytest
import torch

from equivdm.backbones import build_codec, build_denoiser, load_pretrained, pretrained_file
from equivdm.backbones.base import Conditions
from equivdm.config import ControlConfig, TinyConfig
from equivdm.control import control_map
from equivdm.noise import independent_noise
from equivdm.objective import flow_matching_loss
from equivdm.text import tokenize
from equivdm.video.synthetic import render_scene
from equivdm.video.tensors import to_model_range


def held_out_loss(denoiser: torch.nn.Module, time: float) -> float:
    """Flow-matching loss on scenes that no training used, under independent noise."""
    codec, losses = build_codec(TinyConfig()), []
    for seed in (900_001, 900_002):
        scene = render_scene(seed, frames=8, height=64, width=64)
        x0 = codec.encode(to_model_range(scene.frames)[None])
        eps = torch.tensor(independent_noise((8, 3, 32, 32), seed)).float().movedim(0, 1)[None]
        control = torch.tensor(control_map(scene.frames, ControlConfig()))[None]
        conditions = Conditions(torch.tensor([tokenize(scene.caption)]), control)
        with torch.no_grad():
            losses.append(float(flow_matching_loss(denoiser, x0, eps, torch.tensor([time]), conditions)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("time", [0.3, 0.6, 0.9])
def test_they_predict_far_better_than_a_fresh_network(time: float) -> None:
    fresh, trained = build_denoiser(TinyConfig(), seed=0), build_denoiser(TinyConfig(), seed=0)
    load_pretrained(trained, TinyConfig())
    assert held_out_loss(trained, time) < 0.75 * held_out_loss(fresh, time)


def test_they_are_finite_and_small() -> None:
    denoiser = build_denoiser(TinyConfig(), seed=0)
    load_pretrained(denoiser, TinyConfig())
    assert all(bool(parameter.isfinite().all()) for parameter in denoiser.parameters())
    assert pretrained_file(TinyConfig()).stat().st_size < 5 * 2**20


def test_another_network_has_none() -> None:
    with pytest.raises(ValueError, match=r"got a backbone without pretrained weights .* or start fresh"):
        pretrained_file(TinyConfig(width=64))
