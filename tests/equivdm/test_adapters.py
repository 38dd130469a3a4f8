"""Adapters: fresh ones change nothing, their number is the closed form's, and peft's own loader reads them."""

import json
from pathlib import Path

import peft
import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel

from equivdm.adapters import adapt, digest, merge_adapter, read_base, save_adapter
from equivdm.backbones import backbone_of
from equivdm.backbones.base import Conditions, DenoiserModule
from equivdm.backbones.deferred import materialise
from equivdm.backbones.wan.denoiser import WanDenoiser
from equivdm.config import LoraConfig, TinyConfig, WanConfig
from equivdm.errors import UsageError
from equivdm.types import Latents

BACKBONE = TinyConfig(width=32, depth=2, heads=2, patch=4)

LORA = LoraConfig(rank=3, alpha=6.0)


def network(seed: int = 0) -> DenoiserModule:
    """Return a network whose layers all say something: those that are new at zero have random weights."""
    denoiser, generator = backbone_of(BACKBONE).build_denoiser(seed), torch.Generator().manual_seed(seed)
    for parameter in denoiser.parameters():
        if not parameter.any():
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    return denoiser


def adapted(lora: LoraConfig = LORA, seed: int = 1) -> DenoiserModule:
    """Return a network with fresh adapters."""
    denoiser = network()
    adapt(denoiser, BACKBONE, lora, seed, base_seed=0)
    return denoiser


def stirred(denoiser: DenoiserModule) -> DenoiserModule:
    """Give what is trained random weights, as if it had been."""
    generator = torch.Generator().manual_seed(5)
    for parameter in denoiser.parameters():
        if parameter.requires_grad:
            parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
    return denoiser


def answer(denoiser: torch.nn.Module) -> Latents:
    """What a network says to one input."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(2, 3, 4, 8, 8, generator=generator)
    control = torch.rand(2, 4, 16, 16, generator=generator)
    conditions = Conditions(torch.ones(2, 4, dtype=torch.int64), control, torch.full((2,), 8.0))
    with torch.no_grad():
        return denoiser(x, torch.tensor([0.3, 0.7]), conditions)


def test_a_fresh_adapter_changes_nothing() -> None:
    assert torch.equal(answer(adapted()), answer(network()))
    assert not torch.equal(answer(stirred(adapted())), answer(network()))


@pytest.mark.parametrize("targets", [(), ("mix_in",), ("blocks.1.mix_out", "time.0")])
@pytest.mark.parametrize("rank", [1, 5])
def test_what_is_trained_is_rank_times_inputs_and_outputs(targets: tuple[str, ...], rank: int) -> None:
    width, sizes = BACKBONE.width, {"mix_in": (1, 7, 2), "mix_out": (5, 1, 2), "blocks.1.mix_out": (5, 1, 1)}
    shapes = [sizes.get(name, (1, 1, 1)) for name in targets or ("mix_in", "mix_out")]
    wanted = sum(rank * (inputs + outputs) * width * layers for inputs, outputs, layers in shapes)
    denoiser = adapted(LoraConfig(rank=rank, targets=targets))
    assert sum(p.numel() for p in denoiser.parameters() if p.requires_grad) == wanted


def test_the_seed_decides_the_adapters_and_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    first, same, other = adapted(), adapted(), adapted(seed=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert digest(first) == digest(same) != digest(other)


def test_a_merged_adapter_says_what_it_said_beside_the_weights(tmp_path: Path) -> None:
    denoiser, merged = stirred(adapted()), network()
    save_adapter(tmp_path, denoiser, denoiser.state_dict())
    assert read_base(tmp_path) == denoiser.base
    names = list(merged.state_dict())
    merge_adapter(merged, tmp_path)
    assert list(merged.state_dict()) == names
    torch.testing.assert_close(answer(merged), answer(denoiser), rtol=1e-4, atol=1e-5)


def test_pefts_own_loader_reads_it(tmp_path: Path) -> None:
    denoiser = stirred(adapted())
    save_adapter(tmp_path, denoiser, denoiser.state_dict())
    assert {path.name for path in tmp_path.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "base.json",
    }
    theirs = peft.PeftModel.from_pretrained(network(), str(tmp_path))
    assert torch.equal(answer(theirs), answer(denoiser))


def wan() -> WanDenoiser:
    """Return a small Wan; its weights are those of a seed."""
    sizes = {"num_attention_heads": 2, "attention_head_dim": 12, "ffn_dim": 32, "num_layers": 2, "text_dim": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return WanDenoiser(WanTransformer3DModel(**sizes, freq_dim=16, rope_max_seq_len=64), words=4)


def test_diffusers_own_module_of_wan_takes_it(tmp_path: Path) -> None:
    denoiser = wan()
    adapt(denoiser, WanConfig(model="some/model"), LoraConfig(rank=3), seed=1)
    assert sum(p.numel() for p in denoiser.parameters() if p.requires_grad) == 2 * 2 * 4 * 3 * (24 + 24)
    save_adapter(tmp_path, stirred(denoiser), denoiser.state_dict())
    # In the same order in every process: the file is part of what names the model.
    targets = json.loads((tmp_path / "adapter_config.json").read_text())["target_modules"]
    assert targets == ["to_k", "to_out.0", "to_q", "to_v"]
    given = {
        "hidden_states": torch.randn(1, 16, 2, 4, 4),
        "timestep": torch.tensor([500.0]),
        "encoder_hidden_states": torch.randn(1, 4, 8),
        "return_dict": False,
    }
    theirs, merged = peft.PeftModel.from_pretrained(wan().network, str(tmp_path)), wan()
    merge_adapter(merged, tmp_path)
    with torch.no_grad():
        wanted = denoiser.network(**given)[0]
        assert torch.equal(theirs(**given)[0], wanted)
        torch.testing.assert_close(merged.network(**given)[0], wanted, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(wan().network(**given)[0], wanted, atol=1e-3)


def test_an_adapter_is_not_put_on_other_weights(tmp_path: Path) -> None:
    denoiser = adapted()
    save_adapter(tmp_path, denoiser, denoiser.state_dict())
    with pytest.raises(
        UsageError, match=r"backbone: got weights \w{12} of .*tiny.* trained on \w{12}: put the weights"
    ):
        merge_adapter(network(1), tmp_path)
    with pytest.raises(ValueError, match="got a network without adapters"):
        save_adapter(tmp_path, network(), {})


@pytest.mark.parametrize("target", ["to_q", "ix_in", "blocks", "words", "mix_in.weight"])
def test_a_target_that_is_no_linear_layer_is_named_with_those_there_are(target: str) -> None:
    with pytest.raises(UsageError) as caught:
        adapted(LoraConfig(targets=("mix_in", target)))
    assert str(caught.value) == (
        f"lora.targets: got {target!r}, wanted ends of the names of linear layers: take of "
        "embed, film, mix_in, mix_out, modulation, time.0, time.2, unembed"
    )


def test_on_weights_that_wait_adapters_are_put_and_merged_bitwise_alike(tmp_path: Path) -> None:
    built = network()
    built.export(tmp_path, built.state_dict())
    waiting, read = backbone_of(BACKBONE).open_exported(tmp_path), backbone_of(BACKBONE).load_exported(tmp_path)
    for each in (waiting, read):
        adapt(each, BACKBONE, LORA, seed=1)
    assert waiting.base == read.base
    assert len(waiting.readers) == sum(parameter.is_meta for parameter in waiting.parameters()) > 0
    assert not any(parameter.is_meta for parameter in waiting.parameters() if parameter.requires_grad)
    assert digest(waiting) == digest(read) == digest(materialise(waiting, "cpu"))

    adapter = stirred(read)
    (tmp_path / "adapter").mkdir()
    save_adapter(tmp_path / "adapter", adapter, adapter.state_dict())
    merged = [backbone_of(BACKBONE).open_exported(tmp_path), backbone_of(BACKBONE).load_exported(tmp_path)]
    for each in merged:
        merge_adapter(each, tmp_path / "adapter")
    assert digest(merged[0]) == digest(merged[1]) == digest(materialise(merged[0], "cpu")) != digest(network())
