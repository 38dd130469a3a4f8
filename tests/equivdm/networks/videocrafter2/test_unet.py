"""The UNet of VideoCrafter2: the public names and numbers, free sizes, no leak between videos, and that it learns."""

import pytest
import torch
from torch.nn.functional import mse_loss

from equivdm.networks.videocrafter2.process import STEPS
from equivdm.networks.videocrafter2.sizes import UNetSizes
from equivdm.networks.videocrafter2.unet import UNet
from equivdm.objective import Diffusion
from equivdm.process import VideoCrafter2Process
from tests.equivdm.networks.videocrafter2.cases import UNET, filled, golden, numbers, sparse, unet_inputs


@pytest.fixture(scope="module")
def unet() -> UNet:
    return filled(UNet(UNET)).requires_grad_(False)


def test_the_same_weights_give_what_the_authors_code_gives(unet: UNet) -> None:
    torch.testing.assert_close(sparse(unet(*unet_inputs())), golden("unet"), rtol=1e-4, atol=1e-5)


def test_what_normalisations_add_to_the_variance_is_the_authors(unet: UNet) -> None:
    """Too small to show in the golden numbers, and not where a channel is almost constant."""
    for name, module in unet.named_modules():
        if isinstance(module, torch.nn.GroupNorm | torch.nn.LayerNorm):
            assert module.eps == (1e-6 if name.endswith(".norm") else 1e-5), name


@pytest.mark.parametrize(("frames", "rows", "columns"), [(1, 4, 4), (2, 4, 16), (7, 12, 8)])
def test_any_length_and_any_grid_of_whole_strides(unet: UNet, frames: int, rows: int, columns: int) -> None:
    inputs = unet_inputs(1, frames, rows, columns)
    eps = unet(*inputs)
    assert eps.shape == inputs[0].shape
    assert eps.isfinite().all()


def test_a_new_network_predicts_nothing() -> None:
    assert not UNet(UNET)(*unet_inputs()).any()


def test_videos_of_a_batch_do_not_see_each_other(unet: UNet) -> None:
    inputs = unet_inputs(3)
    together = unet(*inputs)
    for video in range(3):
        alone = unet(*(each[video : video + 1] for each in inputs))
        torch.testing.assert_close(together[video : video + 1], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("changed", [1, 2, 3], ids=["time", "text", "fps"])
def test_it_listens_to_what_it_is_told(unet: UNet, changed: int) -> None:
    inputs = list(unet_inputs())
    before = unet(*inputs)
    inputs[changed] = inputs[changed] + 1
    assert (unet(*inputs) - before).abs().mean() > 1e-3


def test_frames_see_each_other_and_know_their_order(unet: UNet) -> None:
    x, *rest = unet_inputs()
    eps = unet(x, *rest)
    changed = x.clone()
    changed[:, :, 2] += 1
    assert (unet(changed, *rest) - eps)[:, :, 0].abs().mean() > 1e-3
    order = [1, 0, 2]
    assert (unet(x[:, :, order], *rest) - eps[:, :, order]).abs().mean() > 1e-3


def test_a_video_played_backwards_is_another_video(unet: UNet) -> None:
    """Unless each kernel over time is the same both ways: then nothing in the network tells the two apart."""
    x, *rest = unet_inputs()
    assert (unet(x.flip(2), *rest).flip(2) - unet(x, *rest)).abs().mean() > 1e-3
    even = filled(UNet(UNET)).requires_grad_(False)
    for module in even.modules():
        if isinstance(module, torch.nn.Conv3d):
            module.weight.data = (module.weight + module.weight.flip(2)) / 2
    torch.testing.assert_close(even(x.flip(2), *rest).flip(2), even(x, *rest), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_recomputing_stages_changes_no_gradient() -> None:
    gradients = []
    for checkpointing in (False, True):
        network = filled(UNet(UNET, checkpointing))
        network(*unet_inputs(1)).square().mean().backward()
        gradients.append({name: parameter.grad for name, parameter in network.named_parameters()})
    assert all(gradient is not None for gradient in gradients[0].values())
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.slow
def test_training_on_one_batch_lowers_its_loss() -> None:
    torch.manual_seed(0)
    network = UNet(UNET)
    x0, _, text, fps = unet_inputs(2, 2, 4, 8)
    eps, timesteps = numbers("eps", *x0.shape), torch.tensor([STEPS // 4, 3 * STEPS // 4])
    x_t = Diffusion(VideoCrafter2Process(), "epsilon").add_noise(x0, eps, timesteps / STEPS)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(8):
        loss = mse_loss(network(x_t, timesteps, text, fps), eps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(1, abs=0.05)  # it predicts 0 of unit variance
    assert losses[-1] < 0.8 * losses[0]


def test_bfloat16_weights_give_what_float32_ones_give(unet: UNet) -> None:
    inputs = unet_inputs(1, 2, 4, 4)
    eps = unet(*inputs)
    rounded = filled(UNet(UNET)).to(torch.bfloat16)(*inputs)
    assert rounded.dtype == torch.float32
    assert (rounded - eps).square().mean() < 0.01 * eps.square().mean()


def test_what_does_not_fit_is_refused_with_what_would(unet: UNet) -> None:
    x, timesteps, text, fps = unet_inputs()
    with pytest.raises(ValueError, match=r"^got latents of 4 channels, 8x10, wanted 4 channels, .* multiples of 4: "):
        unet(x[..., :10], timesteps, text, fps)
    with pytest.raises(ValueError, match=r"^got latents of 3 channels, 8x12, wanted 4 channels"):
        unet(x[:, :3], timesteps, text, fps)
    with pytest.raises(ValueError, match=r"^got text of 23 channels, wanted 24: "):
        unet(x, timesteps, text[..., :23], fps)


@pytest.mark.parametrize(("width", "head_width", "divisor"), [(48, 16, 32), (32, 24, 24), (0, 16, 32)])
def test_widths_that_do_not_divide_are_refused(width: int, head_width: int, divisor: int) -> None:
    with pytest.raises(ValueError, match=rf"^width: got {width}, wanted a multiple of {divisor}: "):
        UNetSizes(width=width, head_width=head_width)
