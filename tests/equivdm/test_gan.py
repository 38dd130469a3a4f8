"""The head's losses have their closed forms, and the student's gradient goes through head and teacher."""

from math import log
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from equivdm.backbones import backbone_of
from equivdm.backbones.base import Conditions, DenoiserModule
from equivdm.backbones.deferred import materialise
from equivdm.backbones.features import listening
from equivdm.config import TinyConfig
from equivdm.distillation.head import Head
from equivdm.distillation.losses import generator_loss, head_loss, passed_on
from equivdm.distillation.teacher import Teacher
from equivdm.footprint import WanFootprint, seen_blocks
from equivdm.objective import Diffusion
from tests.equivdm.backbones.videocrafter2 import tiny as videocrafter2
from tests.equivdm.backbones.wan import tiny as wan

LOGITS = torch.tensor([[-2.0, 0.0], [1.0, 3.0]])


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + (-x).exp())


def test_the_losses_are_minus_the_log_of_what_the_head_believes() -> None:
    real, fake = LOGITS, LOGITS.flip(0) - 1
    torch.testing.assert_close(generator_loss(fake), -sigmoid(fake).log().mean())
    torch.testing.assert_close(head_loss(real, fake), -sigmoid(real).log().mean() - (1 - sigmoid(fake)).log().mean())


def test_their_gradients_are_what_the_head_is_wrong_by() -> None:
    real, fake = LOGITS.clone().requires_grad_(), LOGITS.clone().requires_grad_()
    (taught,) = torch.autograd.grad(generator_loss(fake), fake)
    torch.testing.assert_close(taught, (sigmoid(LOGITS) - 1) / 4)
    towards_one, towards_zero = torch.autograd.grad(head_loss(real, fake), (real, fake))
    torch.testing.assert_close(towards_one, (sigmoid(LOGITS) - 1) / 4)
    torch.testing.assert_close(towards_zero, sigmoid(LOGITS) / 4)


def test_a_sure_head_still_teaches() -> None:
    """That is what is non-saturating: log(1 - D) would have no gradient left."""
    fake = torch.full((1, 1), -50.0, requires_grad=True)
    (taught,) = torch.autograd.grad(generator_loss(fake), fake)
    torch.testing.assert_close(taught, torch.full((1, 1), -1.0))


def test_of_two_equal_laws_the_best_head_has_two_log_two() -> None:
    """p_real / (p_real + p_fake) = 1/2 is the minimum over all heads: any other logit costs more."""
    best = head_loss(torch.zeros(1, 1), torch.zeros(1, 1))
    torch.testing.assert_close(best, torch.tensor(2 * log(2)))
    torch.manual_seed(0)
    head = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.3)
    for _ in range(200):
        optimizer.zero_grad()
        head_loss(*head(torch.randn(4096, 4).repeat(2, 1)).chunk(2)).backward()  # the same samples: equal to the bit
        optimizer.step()
    assert head.weight.abs().max() < 0.01 > head.bias.abs().max()


def test_a_gradient_is_passed_on_as_it_is() -> None:
    x, gradient = torch.randn(2, 1, 1, 2, 2, requires_grad=True), torch.randn(2, 1, 1, 2, 2)
    term = passed_on(torch.tensor(0.7), x, gradient)
    assert term == torch.tensor(0.7)
    term.backward()
    torch.testing.assert_close(x.grad, gradient)


def networks(folder: Path) -> dict[str, tuple[DenoiserModule, Diffusion, Tensor, Conditions]]:
    """Each kind of backbone at the least size: network, diffusion, latents and conditions."""
    torch.manual_seed(0)
    small = TinyConfig(width=16, depth=2, heads=2, patch=4)
    published = videocrafter2.write(folder)
    unet = materialise(backbone_of(published).open_denoiser(), "cpu")
    rate, words = torch.full((2,), 8.0), torch.randn(2, 5, wan.FEATURES)
    latents, hint = torch.randn(2, 16, *wan.GRID), torch.randn(2, 32, *wan.GRID)
    flow, pixels = backbone_of(small).diffusion(), torch.zeros(2, 3, 16, 16)
    return {
        "tiny": (
            backbone_of(small).build_denoiser(0),
            flow,
            torch.randn(2, 3, 3, 8, 8),
            Conditions(torch.ones(2, 16, dtype=torch.int64), pixels, rate),
        ),
        "t2v": (wan.denoiser(), flow, latents, Conditions(words, None, rate)),
        "vace": (wan.denoiser(vace=True), flow, latents, Conditions(words, hint, rate)),
        "videocrafter2": (
            unet,
            backbone_of(published).diffusion(),
            torch.randn(2, 4, 3, 8, 8),
            Conditions(torch.randn(2, 12, 24), None, rate),
        ),
    }


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[DenoiserModule, Diffusion, Tensor, Conditions]]:
    return networks(tmp_path_factory.mktemp("networks"))


@pytest.mark.parametrize("kind", ["tiny", "t2v", "vace", "videocrafter2"])
def test_every_teacher_shows_its_inner_layers_and_lets_the_gradient_through(
    kind: str, every: dict[str, tuple[DenoiserModule, Diffusion, Tensor, Conditions]]
) -> None:
    network, diffusion, x, conditions = every[kind]
    network.requires_grad_(False)
    times, teacher = torch.tensor([0.3, 0.6]), Teacher(network, network, diffusion)
    head = Head(list(network.feature_layers.values()), 8)
    found = {}
    for recompute in (False, True):
        network.recompute = recompute
        x_t = x.clone().requires_grad_()
        prediction, features = teacher.judge(x_t, times, conditions, listen=True)
        assert not prediction.requires_grad
        assert [each.shape[2] for each in features] == list(network.feature_layers.values())
        (found[recompute],) = torch.autograd.grad(generator_loss(head(features)), x_t)
    network.recompute = False
    assert found[False].abs().amax((1, 2, 3, 4)).all()  # each video has its own
    assert torch.equal(found[True], found[False])
    kept = list[Tensor]()
    with saved_tensors_hooks(kept.append, lambda kept: kept):
        silent, nothing = teacher.judge(x.clone().requires_grad_(), times, conditions, listen=False)
    assert kept == []
    assert torch.equal(silent, prediction)
    assert nothing == []
    assert not network._forward_hooks
    assert all(torch.equal(*pair) for pair in zip(teacher.features(x, times, conditions), features, strict=True))


def test_a_video_has_the_features_that_it_has_alone(
    every: dict[str, tuple[DenoiserModule, Diffusion, Tensor, Conditions]],
) -> None:
    """Frames of one video are not taken for another's."""
    for network, _, x, conditions in (every["tiny"], every["videocrafter2"]):
        with torch.no_grad(), listening(network, 2) as both:
            network(x, torch.tensor([0.3, 0.6]), conditions)
        for row, alone in enumerate(conditions.split(2)):
            with torch.no_grad(), listening(network, 1) as own:
                network(x[row : row + 1], torch.tensor([[0.3], [0.6]])[row], alone)
            for together, single in zip(both, own, strict=True):
                torch.testing.assert_close(together[row : row + 1], single, rtol=1e-4, atol=1e-4)


def test_sizes_are_known_before_there_is_a_network(
    tmp_path: Path, every: dict[str, tuple[DenoiserModule, Diffusion, Tensor, Conditions]]
) -> None:
    configs = {"tiny": TinyConfig(width=16, depth=2, heads=2, patch=4), "videocrafter2": videocrafter2.write(tmp_path)}
    for kind, config in configs.items():
        assert backbone_of(config).footprint().features == list(every[kind][0].feature_layers.values())
    published = WanFootprint.of_model("Wan-AI/Wan2.1-VACE-1.3B-diffusers", words=512)
    assert (published.features, seen_blocks(published.layers)) == ([1536] * 3, [15, 22, 29])  # FastGen's
    assert [len(seen_blocks(depth)) for depth in (1, 2, 3, 4)] == [1, 1, 2, 2]


def test_guidance_goes_beyond_the_caption_and_one_is_none() -> None:
    network = backbone_of(TinyConfig(width=16, depth=1, heads=2, patch=4)).build_denoiser(0)
    with torch.no_grad():
        for value in network.state_dict().values():
            value.add_(0.1 * torch.randn(value.shape))
    rate, pixels = torch.full((1,), 8.0), torch.zeros(1, 2, 16, 16)
    caption, empty = (Conditions(torch.full((1, 4), word), pixels, rate) for word in (3, 0))
    x, times = torch.randn(1, 3, 2, 8, 8), torch.tensor([0.5])
    toward, away = network(x, times, caption), network(x, times, empty)
    assert not torch.equal(toward, away)
    teachers = {w: Teacher(network, network, backbone_of(TinyConfig()).diffusion(), w) for w in (1.0, 4.0)}
    assert torch.equal(teachers[1.0].judge(x, times, caption, listen=False)[0], toward)
    guided, _ = teachers[4.0].judge(x, times, caption, empty, listen=False)
    torch.testing.assert_close(guided, away + 4 * (toward - away))
    with pytest.raises(ValueError, match=r"guidance: got 4.0 without conditions of the empty prompt"):
        teachers[4.0].judge(x, times, caption, listen=False)
