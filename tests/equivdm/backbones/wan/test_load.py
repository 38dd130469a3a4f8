"""Folders: saved here, loaded here and by diffusers, without a network; one clear line where they are wrong."""

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from diffusers import AutoencoderKLWan, WanPipeline, WanTransformer3DModel, WanVACEPipeline, WanVACETransformer3DModel
from safetensors.torch import load_file, save_file
from transformers import UMT5EncoderModel

from equivdm.backbones import backbone_of
from equivdm.backbones.wan.denoiser import WanDenoiser
from equivdm.backbones.wan.folder import WEIGHTS, build_empty
from equivdm.backbones.wan.load import load_codec, load_denoiser, load_text, save_pipeline
from equivdm.backbones.wan.parts import TRANSFORMERS
from equivdm.config import WanConfig
from equivdm.errors import UsageError
from tests.equivdm.backbones.wan import tiny

TIMES = torch.tensor([0.5])
CONTROL = torch.randn(1, 96, *tiny.GRID, generator=torch.Generator().manual_seed(7))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a local folder reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module", params=[False, True], ids=["t2v", "vace"])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[bool, Path]:
    folder = tmp_path_factory.mktemp("wan")
    save_pipeline(folder, tiny.denoiser(request.param), tiny.codec(), tiny.text(), shift=3.0)
    return request.param, folder


def velocity_of(denoiser: WanDenoiser) -> torch.Tensor:
    with torch.no_grad():
        return denoiser.velocity(tiny.noise(), TIMES, tiny.embeddings(), CONTROL if denoiser.layers else None)


def assert_same(got: WanDenoiser, wanted: WanDenoiser) -> None:
    """The same bits of every weight; the outputs may differ by rounding, with where the weights lie in memory."""
    mine, theirs = got.state_dict(), wanted.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    torch.testing.assert_close(velocity_of(got), velocity_of(wanted), atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("no_network")
def test_what_was_saved_is_loaded(saved: tuple[bool, Path]) -> None:
    vace, folder = saved
    assert_same(load_denoiser(str(folder)), tiny.denoiser(vace))
    video = torch.rand(1, 3, 5, 16, 16)
    torch.testing.assert_close(load_codec(str(folder)).encode(video), tiny.codec().encode(video))
    torch.testing.assert_close(load_text(str(folder), words=8)(["a cat"]), tiny.text(8)(["a cat"]))


def test_diffusers_loads_each_part(saved: tuple[bool, Path]) -> None:
    vace, folder = saved
    network = (WanVACETransformer3DModel if vace else WanTransformer3DModel).from_pretrained(
        folder, subfolder="transformer"
    )
    assert_same(WanDenoiser(network), tiny.denoiser(vace))
    vae = AutoencoderKLWan.from_pretrained(folder, subfolder="vae")
    assert all(
        torch.equal(mine, theirs) for mine, theirs in zip(tiny.codec().vae.parameters(), vae.parameters(), strict=True)
    )
    encoder = UMT5EncoderModel.from_pretrained(folder, subfolder="text_encoder")
    assert torch.equal(encoder.shared.weight, encoder.encoder.embed_tokens.weight)


def test_diffusers_loads_the_pipeline(saved: tuple[bool, Path]) -> None:
    vace, folder = saved
    pipeline = (WanVACEPipeline if vace else WanPipeline).from_pretrained(folder)
    assert pipeline.scheduler.config.flow_shift == 3.0
    assert_same(WanDenoiser(pipeline.transformer), tiny.denoiser(vace))


def test_a_denoiser_saves_itself(tmp_path: Path) -> None:
    tiny.denoiser().save(tmp_path)
    assert_same(load_denoiser(str(tmp_path)), tiny.denoiser())


def test_weights_in_several_files(tmp_path: Path) -> None:
    tiny.denoiser().network.save_pretrained(tmp_path / "transformer", max_shard_size="40KB")
    assert len(list((tmp_path / "transformer").glob("*.safetensors"))) > 1
    assert_same(load_denoiser(str(tmp_path)), tiny.denoiser())
    next((tmp_path / "transformer").glob("*00001-of-*.safetensors")).unlink()
    with pytest.raises(
        UsageError, match=r"^model: .* lacks diffusion_pytorch_model-00001-of-.*: copy or download it whole$"
    ):
        load_denoiser(str(tmp_path))


def test_an_index_leads_to_no_other_folder(tmp_path: Path) -> None:
    tiny.denoiser().save(tmp_path)
    folder = tmp_path / "transformer"
    (folder / WEIGHTS).rename(tmp_path / "outside.safetensors")
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": {"a": "../outside.safetensors"}}))
    with pytest.raises(UsageError, match=r"lacks \.\./outside\.safetensors"):
        load_denoiser(str(tmp_path))


def test_half_precision_keeps_what_diffusers_keeps(saved: tuple[bool, Path]) -> None:
    vace, folder = saved
    denoiser = load_denoiser(str(folder), torch.bfloat16)
    precisions = {name: parameter.dtype for name, parameter in denoiser.network.named_parameters()}
    assert precisions["blocks.0.attn1.to_q.weight"] == precisions["proj_out.weight"] == torch.bfloat16
    assert precisions["scale_shift_table"] == torch.float32
    assert precisions["condition_embedder.time_embedder.linear_1.weight"] == torch.float32
    exact = velocity_of(tiny.denoiser(vace))
    assert (velocity_of(denoiser) - exact).abs().mean() < 0.05 * exact.abs().mean()
    assert load_codec(str(folder), torch.bfloat16).vae.dtype == torch.bfloat16
    assert load_text(str(folder), torch.bfloat16)(["a cat"]).dtype == torch.bfloat16


def test_loaded_weights_are_trained_and_saved_over_their_own_folder(tmp_path: Path) -> None:
    tiny.denoiser().save(tmp_path)
    denoiser = load_denoiser(str(tmp_path))
    with torch.no_grad():
        denoiser.network.proj_out.weight.add_(1)
    assert denoiser.network.proj_out.weight.requires_grad
    denoiser.save(tmp_path)
    assert_same(load_denoiser(str(tmp_path)), denoiser)


@pytest.mark.parametrize("model", ["nowhere", "/no/such/folder", "./no/such", "tests/nothing", "a/b/c"])
@pytest.mark.usefixtures("no_network")
def test_a_path_that_is_not_there_is_no_name_of_the_hub(model: str) -> None:
    with pytest.raises(UsageError, match=f"^model: got {model}, which is no folder, wanted .*: check the path$"):
        load_denoiser(model)


@pytest.mark.usefixtures("no_network")
def test_a_name_of_the_hub_is_looked_up_in_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match=r"^model: Some/Wan2.1-T2V cannot be had from the hub .*: give a local folder"):
        load_denoiser("Some/Wan2.1-T2V")
    kept, commit = tmp_path / "models--Some--Wan2.1-T2V", "0" * 40
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text(commit)
    tiny.denoiser().save(kept / "snapshots" / commit)
    assert_same(load_denoiser("Some/Wan2.1-T2V"), tiny.denoiser())


def test_published_sizes_are_taken(tmp_path: Path) -> None:
    """VACE-1.3B, its weights not in memory: 1.3 billion are text to video's, and 15 of 30 blocks have a twin."""
    settings = {
        "_class_name": "WanVACETransformer3DModel",
        "num_attention_heads": 12,
        "attention_head_dim": 128,
        "ffn_dim": 8960,
        "num_layers": 30,
        "vace_layers": list(range(0, 30, 2)),
    }
    (tmp_path / "config.json").write_text(json.dumps(settings))
    denoiser = WanDenoiser(build_empty(tmp_path, TRANSFORMERS))
    assert denoiser.layers == 15
    assert 1.3e9 < sum(p.numel() for name, p in denoiser.named_parameters() if "vace" not in name) < 1.5e9
    assert all(p.is_meta for p in denoiser.parameters())


def edited(folder: Path, **changes: Any) -> str:
    """A text to video model whose configuration was changed after it was saved."""
    tiny.denoiser().save(folder)
    file = folder / "transformer" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return str(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"_class_name": "FluxTransformer2DModel"}, "is a FluxTransformer2DModel, wanted WanTransformer3DModel or "),
        ({"_class_name": None}, "is a None, wanted WanTransformer3DModel or "),
        ({"in_channels": 36}, "got a network with in_channels=36, wanted 16: give Wan 2.1 text to video"),
        ({"ffn_dim": 64}, "do not fit its config.json .*: copy or download both from one model$"),
        ({"num_layers": 4}, "do not fit its config.json .*: copy or download both from one model$"),
    ],
)
def test_another_architecture_is_told_in_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^model: .*{message}") as error:
        load_denoiser(edited(tmp_path, **changes))
    assert "\n" not in str(error.value)


def test_folders_that_are_not_whole_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^model: .* holds no transformer, wanted a folder that diffusers saved"):
        load_denoiser(str(tmp_path))
    folder = edited(tmp_path)
    weights = tmp_path / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UsageError, match=r"^model: .* is damaged .*: copy or download it again$"):
        load_denoiser(folder)
    weights.unlink()
    with pytest.raises(UsageError, match=r"^model: .* lacks diffusion_pytorch_model.safetensors: "):
        load_denoiser(folder)
    for words in ("{", "[]"):
        (tmp_path / "transformer" / "config.json").write_text(words)
        with pytest.raises(UsageError, match=r"^model: .*config.json (cannot be read|holds a list)"):
            load_denoiser(folder)


def test_two_networks_are_refused(tmp_path: Path) -> None:
    folder = edited(tmp_path)
    (tmp_path / "model_index.json").write_text('{"boundary_ratio": 0.875}')
    with pytest.raises(UsageError, match=r"^model: .* is of two networks that take turns, wanted Wan 2.1 with one"):
        load_denoiser(folder)


def test_another_codec_or_text_encoder_is_refused(saved: tuple[bool, Path], tmp_path: Path) -> None:
    AutoencoderKLWan(**tiny.VAE, z_dim=48, scale_factor_spatial=16).save_pretrained(tmp_path / "vae")
    with pytest.raises(UsageError, match=r"^model: .*vae: got an autoencoder of \(48, 16, 4\)"):
        load_codec(str(tmp_path))
    for part in ("text_encoder", "tokenizer"):
        (tmp_path / part).symlink_to(saved[1] / part)
    assert load_text(str(tmp_path), words=4)(["a cat"]).shape == (1, 4, tiny.FEATURES)
    (tmp_path / "text_encoder").unlink()
    (tmp_path / "text_encoder").mkdir()
    (tmp_path / "text_encoder" / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(UsageError, match=r"^model: .* is a clip, wanted umt5: "):
        load_text(str(tmp_path))
    (tmp_path / "text_encoder" / "config.json").write_text('{"model_type": "umt5"}')
    with pytest.raises(UsageError, match=r"^model: .* has no whole text encoder "):
        load_text(str(tmp_path))


def test_a_missing_tensor_is_told(tmp_path: Path) -> None:
    folder = edited(tmp_path)
    weights = tmp_path / "transformer" / "diffusion_pytorch_model.safetensors"
    state = load_file(weights)
    state.pop("proj_out.bias")
    save_file(state, weights)
    with pytest.raises(UsageError, match=r"do not fit its config.json \(1 tensors, proj_out.bias first\)"):
        load_denoiser(folder)


@pytest.mark.parametrize("vace", [False, True])
def test_an_exported_average_is_read_here_and_by_diffusers(tmp_path: Path, vace: bool) -> None:
    denoiser, config = tiny.denoiser(vace), WanConfig(model="where/it/began")
    average = {name: value + 0.5 for name, value in denoiser.state_dict().items()}
    denoiser.export(tmp_path, average)
    network = (WanVACETransformer3DModel if vace else WanTransformer3DModel).from_pretrained(
        tmp_path, subfolder="transformer"
    )
    for found in (backbone_of(config).load_exported(tmp_path), WanDenoiser(network)):
        own = found.state_dict()
        assert own.keys() == average.keys()
        assert all(torch.equal(own[name], average[name]) for name in own)
    assert torch.equal(next(denoiser.parameters()), next(tiny.denoiser(vace).parameters()))  # as it was


def identities(config: WanConfig) -> list[dict[str, Any]]:
    """Of codec, text encoder and network."""
    backbone = backbone_of(config)
    return [backbone.codec_identity(), backbone.text_identity(), backbone.network_identity()]


def test_parts_are_named_by_content_and_not_by_place(saved: tuple[bool, Path], tmp_path: Path) -> None:
    vace, folder = saved
    shutil.copytree(folder, tmp_path / "copy")
    here, there = WanConfig(model=str(folder)), WanConfig(model=str(tmp_path / "copy"))
    before = identities(here)
    assert identities(there) == before
    assert backbone_of(there).control_form() == ("latents" if vace else "none")
    denoiser = tiny.denoiser(vace)
    denoiser.network.proj_out.bias.data.add_(1)
    denoiser.save(tmp_path / "copy")
    assert [one == other for one, other in zip(identities(there), before, strict=True)] == [True, True, False]
    assert identities(here.model_copy(update={"words": 256}))[1] != before[1]


def test_naming_a_model_loads_no_torch(saved: tuple[bool, Path]) -> None:
    code = "import sys; from equivdm.backbones import backbone_of; from equivdm.config import WanConfig; "
    code += "b = backbone_of(WanConfig(model=sys.argv[1])); "
    code += "b.codec_identity(), b.text_identity(), b.network_identity(), b.control_form(), b.footprint(); "
    code += "print(sorted({'torch', 'diffusers', 'transformers'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code, str(saved[1])], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
