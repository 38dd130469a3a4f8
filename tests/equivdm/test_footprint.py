"""Closed forms of sizes are those of the networks themselves: weights exactly, kept bytes counted tensor by tensor."""

import itertools
from collections.abc import Callable

import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from diffusers.models.transformers.transformer_wan_vace import WanVACETransformer3DModel
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from equivdm.backbones.base import Conditions
from equivdm.backbones.tiny.denoiser import TinyDenoiser
from equivdm.config import TinyConfig
from equivdm.errors import UsageError
from equivdm.footprint import Footprint, Micro, TinyFootprint, VideoCrafter2Footprint, WanFootprint
from equivdm.footprint.base import adapter_parameters
from equivdm.networks.videocrafter2.sizes import UNetSizes
from equivdm.networks.videocrafter2.unet import UNet

MICRO = Micro(clips=2, frames=3, rows=8, columns=12)

WAN = {"num_attention_heads": 2, "attention_head_dim": 48, "ffn_dim": 224, "num_layers": 3, "text_dim": 48}

UNET = UNetSizes(width=64, factors=(1, 2), blocks=1, attending=2, head_width=32, text_width=48)


def wan(mixed_control: bool, **sizes: int) -> nn.Module:
    """Return diffusers' transformer, of text to video or VACE."""
    settings = {"freq_dim": 32, "rope_max_seq_len": 64, **WAN, **sizes}
    if mixed_control:
        return WanVACETransformer3DModel(**settings, vace_layers=[0, 2])  # type: ignore[arg-type]
    return WanTransformer3DModel(**settings)  # type: ignore[arg-type]


def published(layers: int, heads: int, hidden: int, control: list[int] | None) -> nn.Module:
    """Return a published transformer without memory."""
    sizes = {"num_layers": layers, "num_attention_heads": heads, "ffn_dim": hidden}
    with torch.device("meta"):
        if control is None:
            return WanTransformer3DModel(**sizes)  # type: ignore[arg-type]
        return WanVACETransformer3DModel(**sizes, vace_layers=control)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def own_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's own linear function: an engine of ZeRO 3, in this process, leaves another, which keeps no copies."""
    monkeypatch.setattr(torch.nn.functional, "linear", torch._C._nn.linear)


def count(network: nn.Module) -> tuple[int, int]:
    """All weights, and those of the largest tensor."""
    sizes = [parameter.numel() for parameter in network.parameters()]
    return sum(sizes), max(sizes)


def told(footprint: Footprint) -> tuple[int, int]:
    """What the closed form says of it."""
    return footprint.parameters, footprint.largest


@pytest.mark.parametrize(
    "config",
    [
        TinyConfig(width=16, depth=1, heads=2, patch=4),
        TinyConfig(width=96, depth=3, channels=8, control_channels=3),
        TinyConfig(width=48, depth=2, patch=2, channels=24),
        TinyConfig(width=16, depth=1, heads=2, patch=8, channels=12, levels=4),
        TinyConfig(width=16, depth=1, heads=2, patch=4, channels=64, levels=1),
    ],
)
def test_tiny_has_as_many_weights(config: TinyConfig) -> None:
    assert told(TinyFootprint(config)) == count(TinyDenoiser(config))


@pytest.mark.parametrize(
    ("name", "layers", "heads", "hidden", "control"),
    [
        ("Wan-AI/Wan2.1-T2V-1.3B-Diffusers", 30, 12, 8960, None),
        ("Wan-AI/Wan2.1-T2V-14B-Diffusers", 40, 40, 13824, None),
        ("Wan-AI/Wan2.1-VACE-1.3B-diffusers", 30, 12, 8960, list(range(0, 30, 2))),
        ("Wan-AI/Wan2.1-VACE-14B-diffusers", 40, 40, 13824, list(range(0, 40, 5))),
    ],
)
def test_wan_has_as_many_weights(name: str, layers: int, heads: int, hidden: int, control: list[int] | None) -> None:
    network = published(layers, heads, hidden, control)
    assert told(WanFootprint.of_model(name, 512)) == count(network)
    assert WanFootprint.of_settings(dict(network.config), 512) == WanFootprint.of_model(name, 512)


def test_videocrafter2_has_as_many_weights() -> None:
    assert VideoCrafter2Footprint().parameters == 1_413_284_420
    with torch.device("meta"):
        for sizes in (UNET, UNetSizes()):
            assert told(VideoCrafter2Footprint(sizes)) == count(UNet(sizes))


def test_a_model_of_unknown_sizes_is_refused() -> None:
    with pytest.raises(UsageError, match=r"model: got some/model, whose sizes are not known here, wanted a folder"):
        WanFootprint.of_model("some/model", 512)


def kept(network: nn.Module, forward: Callable[[], Tensor], mixed: bool) -> int:
    """Count the bytes of all that autograd holds after a forward pass, weights left out."""
    own, found = {p.untyped_storage().data_ptr() for p in network.parameters()}, {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        forward()
    return sum(size for size, _ in found.values())


def latents(channels: int) -> Tensor:
    return torch.randn(MICRO.clips, channels, MICRO.frames, MICRO.rows, MICRO.columns)


TINY = {
    "tiny": TinyConfig(width=96, depth=3, patch=4, channels=20),
    "deep": TinyConfig(width=96, depth=3, patch=4, channels=16, levels=3),
}


def case(name: str) -> tuple[nn.Module, Callable[[], Tensor], Footprint]:
    """Return a small network, its forward pass on `MICRO`, and its footprint."""
    if name in TINY:
        config = TINY[name]
        network = TinyDenoiser(config)
        size = (MICRO.clips, MICRO.frames, 2 * MICRO.rows, 2 * MICRO.columns)
        conditions = Conditions(
            torch.ones(MICRO.clips, 16, dtype=torch.int64), torch.rand(size), torch.ones(MICRO.clips)
        )
        x, times = latents(3), torch.full((MICRO.clips,), 0.5)
        return network, lambda: network(x, times, conditions), TinyFootprint(config)
    if name == "videocrafter2":
        # In evaluation mode, as its denoiser trains it: without dropout.
        unet, x, times = UNet(UNET).eval(), latents(4), torch.full((MICRO.clips,), 500)
        text = torch.randn(MICRO.clips, 12, UNET.text_width)
        return unet, lambda: unet(x, times, text, times), VideoCrafter2Footprint(UNET, words=12)
    network, x, text = wan(name == "vace").train(), latents(16), torch.randn(MICRO.clips, 24, WAN["text_dim"])
    shown = {"control_hidden_states": latents(96)} if name == "vace" else {}
    times = torch.full((MICRO.clips,), 500.0)

    def forward() -> Tensor:
        return network(hidden_states=x, timestep=times, encoder_hidden_states=text, return_dict=False, **shown)[0]

    return network, forward, WanFootprint.of_settings(dict(network.config), words=24)


@pytest.mark.parametrize(
    ("name", "mixed"), list(itertools.product(["tiny", "deep", "wan", "vace", "videocrafter2"], [False, True]))
)
def test_a_forward_pass_keeps_so_many_bytes(name: str, mixed: bool) -> None:
    network, forward, footprint = case(name)
    wanted = kept(network, forward, mixed)
    assert footprint.kept(MICRO, mixed=mixed, recompute=False) == pytest.approx(wanted, rel=0.05)


@pytest.mark.parametrize("name", ["tiny", "deep", "wan", "vace", "videocrafter2"])
def test_recomputing_keeps_the_inputs_of_blocks(name: str) -> None:
    network, forward, footprint = case(name)
    whole = footprint.kept(MICRO, mixed=False, recompute=False)
    assert footprint.kept(MICRO, mixed=False, recompute=True) < 0.7 * whole
    if name in TINY:
        network.recompute = True
    elif name == "videocrafter2":
        network.checkpointing = True
    else:
        network.enable_gradient_checkpointing()
    between = kept(network, forward, mixed=False)  # without the block that is computed again
    assert between < footprint.kept(MICRO, mixed=False, recompute=True) < between + 0.7 * whole


@pytest.mark.parametrize("name", ["tiny", "deep", "wan", "vace", "videocrafter2"])
def test_a_forward_pass_takes_so_many_operations(name: str) -> None:
    _, forward, footprint = case(name)
    # The counter knows no fused attention of CPUs.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        forward()
    assert footprint.flops(MICRO) == pytest.approx(counter.get_total_flops(), rel=0.05)


@pytest.mark.parametrize("name", ["tiny", "deep", "wan", "vace", "videocrafter2"])
def test_adapters_have_so_many_weights(name: str) -> None:
    import peft

    network, _, footprint = case(name)
    targets = sorted({layer.name for layer in footprint.linears})
    peft.inject_adapter_in_model(peft.LoraConfig(r=3, target_modules=targets), network)
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    assert adapter_parameters(footprint.linears, 3) == trained
