"""Wan's denoiser: diffusers' own numbers, what it refuses, and that it learns."""

from typing import Any

import pytest
import torch
from diffusers import WanTransformer3DModel

from equivdm.backbones.wan.denoiser import WanDenoiser
from equivdm.objective import Diffusion
from equivdm.process import Straight
from tests.equivdm.backbones.wan import tiny

TIMES = torch.tensor([0.25, 0.999])


def control(batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 96, *tiny.GRID, generator=torch.Generator().manual_seed(5))


def given(vace: bool) -> dict[str, Any]:
    return {"control": control()} if vace else {}


@pytest.mark.parametrize("vace", [False, True])
def test_it_is_the_network_at_a_thousand_times_the_time(vace: bool) -> None:
    denoiser = tiny.denoiser(vace)
    shown = {"control_hidden_states": control(), "control_hidden_states_scale": torch.ones(2)} if vace else {}
    with torch.no_grad():
        got = denoiser(tiny.noise(2), TIMES, tiny.embeddings(2), **given(vace))
        wanted = denoiser.network(
            hidden_states=tiny.noise(2), timestep=1000 * TIMES, encoder_hidden_states=tiny.embeddings(2), **shown
        ).sample
    assert got.shape == tiny.noise(2).shape
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("what", ["latents", "times", "text", "control", "scale"])
def test_every_input_counts_and_samples_do_not_see_each_other(what: str) -> None:
    denoiser = tiny.denoiser(vace=True)
    inputs = {"latents": tiny.noise(2), "times": TIMES, "text": tiny.embeddings(2), "control": control()}
    with torch.no_grad():
        before = denoiser(**inputs)
        if what == "scale":
            after = denoiser(**inputs, control_scale=0.5)
        else:
            changed = inputs[what].clone()
            changed[0] *= 0.5
            after = denoiser(**inputs | {what: changed})
    assert (after[0] - before[0]).abs().max() > 1e-4
    if what != "scale":
        torch.testing.assert_close(after[1], before[1])


def test_scales_of_layers() -> None:
    denoiser = tiny.denoiser(vace=True)
    inputs = (tiny.noise(2), TIMES, tiny.embeddings(2), control())
    with torch.no_grad():
        torch.testing.assert_close(denoiser(*inputs, 0.5), denoiser(*inputs, torch.tensor([0.5, 0.5])))
        # No control at all: what the control shows does not count.
        torch.testing.assert_close(denoiser(*inputs, 0.0), denoiser(*inputs[:3], 2 * control(), 0.0))
    with pytest.raises(ValueError, match=r"^control_scale: got 3 numbers, wanted 2: "):
        denoiser(*inputs, torch.ones(3))


@pytest.mark.parametrize(
    ("vace", "changes", "message"),
    [
        (False, {"latents": torch.zeros(2, 4, 3, 4, 6)}, "^got latents of 4 channels, wanted 16: "),
        (False, {"latents": torch.zeros(2, 16, 3, 5, 6)}, r"^got a latent grid of 5x6, .* multiples of 16 pixels$"),
        (False, {"text": torch.zeros(2, 7, 8)}, "^got text embeddings of 8 features, wanted 16: "),
        (False, {"control": control()}, "^got control=given, wanted none for text to video: "),
        (True, {"control": None}, "^got control=none, wanted a control for VACE: "),
        (True, {"control": control()[:, :32]}, r"^got a control of \(2, 32, .*wanted \(2, 96, 3, 4, 6\): "),
        (True, {"control": control()[:, :, :2]}, r"^got a control of \(2, 96, 2, "),
    ],
)
def test_what_does_not_fit_is_told(vace: bool, changes: dict[str, Any], message: str) -> None:
    inputs = {"latents": tiny.noise(2), "times": TIMES, "text": tiny.embeddings(2), **given(vace)}
    with pytest.raises(ValueError, match=message):
        tiny.denoiser(vace)(**inputs | changes)


@pytest.mark.parametrize("changes", [{"in_channels": 36}, {"image_dim": 8}, {"patch_size": (1, 4, 4)}])
def test_other_networks_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"^got a network with {next(iter(changes))}=.*: give Wan 2.1 text to video"):
        WanDenoiser(WanTransformer3DModel(**tiny.SIZES | changes))


def test_half_precision_takes_and_returns_float_and_keeps_the_time() -> None:
    denoiser = tiny.denoiser(vace=True)
    inputs = (tiny.noise(2), TIMES, tiny.embeddings(2), control())
    with torch.no_grad():
        exact = denoiser(*inputs)
        half = denoiser.bfloat16()(*inputs)
    assert half.dtype == torch.float32
    assert (half - exact).abs().mean() < 0.05 * exact.abs().mean()


@pytest.mark.parametrize("vace", [False, True])
def test_training_lowers_the_loss(vace: bool) -> None:
    denoiser = tiny.denoiser(vace).train()
    generator, flow = torch.Generator().manual_seed(0), Diffusion(Straight(), "flow")
    x0, eps, times = tiny.noise(2, 1), tiny.noise(2, 2), flow.draw_times(2, generator)
    denoiser.network.enable_gradient_checkpointing()
    optimizer = torch.optim.AdamW(denoiser.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        prediction = denoiser(flow.add_noise(x0, eps, times), times, tiny.embeddings(2), **given(vace))
        loss = torch.nn.functional.mse_loss(prediction, flow.target(x0, eps, times))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    # A guess of zero has a loss of 2.
    assert losses[-1] < 0.9 * losses[0]
    assert all(p.grad is not None for p in denoiser.parameters())
