"""Reading files with the public names: all of them, and nothing else."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from equivdm.errors import UsageError
from equivdm.networks.videocrafter2.autoencoder import Autoencoder
from equivdm.networks.videocrafter2.checkpoint import AUTOENCODER as CODEC
from equivdm.networks.videocrafter2.checkpoint import UNET as NETWORK
from equivdm.networks.videocrafter2.checkpoint import load
from equivdm.networks.videocrafter2.sizes import AutoencoderSizes, UNetSizes
from equivdm.networks.videocrafter2.unet import UNet
from tests.equivdm.networks.videocrafter2.cases import AUTOENCODER, UNET, filled, unet_inputs

LINES = [line.split("\t") for line in (Path(__file__).parent / "names.tsv").read_text().splitlines()[1:]]
"""Name and shape of each tensor of the authors' UNet and autoencoder at the public size."""


def tensors() -> dict[str, Tensor]:
    """What a file of the tiny networks holds, and what the public one holds beside them."""
    networks = {NETWORK: filled(UNet(UNET)), CODEC: filled(Autoencoder(AUTOENCODER))}
    own = {prefix + name: each for prefix, network in networks.items() for name, each in network.state_dict().items()}
    return own | {"cond_stage_model.model.ln_final.bias": torch.zeros(24), "scale_arr": torch.ones(1400)}


def test_names_and_shapes_are_the_public_checkpoint_s() -> None:
    with torch.device("meta"):
        networks = {NETWORK: UNet(UNetSizes()), CODEC: Autoencoder(AutoencoderSizes())}
    own = {
        prefix + name: "x".join(map(str, each.shape))
        for prefix, network in networks.items()
        for name, each in network.state_dict().items()
    }
    assert own == {name: shape for name, shape in LINES}


def test_the_public_size_takes_videos_of_16_frames_and_320x512() -> None:
    with torch.device("meta"):
        unet, codec = UNet(UNetSizes()), Autoencoder(AutoencoderSizes())
        latents = codec.encode(torch.empty(1, 3, 16, 320, 512))
        eps = unet(latents, torch.tensor([500]), torch.empty(1, 77, 1024), torch.tensor([28]))
        video = codec.decode(eps)
    assert eps.shape == latents.shape == (1, 4, 16, 40, 64)
    assert video.shape == (1, 3, 16, 320, 512)


@pytest.mark.parametrize("form", ["nested.ckpt", "flat.ckpt", "half.ckpt", "flat.safetensors"])
def test_a_file_s_tensors_become_the_networks(form: str, tmp_path: Path) -> None:
    path, state = tmp_path / form, tensors()
    if form.endswith("safetensors"):
        save_file(state, path)
    elif form == "half.ckpt":
        torch.save({name: each.half() for name, each in state.items()}, path)
    else:
        torch.save({"state_dict": state, "global_step": 9} if form == "nested.ckpt" else state, path)
    loaded = load(str(path), UNET, AUTOENCODER)
    found = {NETWORK + name: each for name, each in loaded.unet.state_dict().items()}
    found |= {CODEC + name: each for name, each in loaded.autoencoder.state_dict().items()}
    for name, each in found.items():
        assert torch.equal(each, state[name].half().float() if form == "half.ckpt" else state[name])
    assert loaded.text_encoder == ("cond_stage_model.model.ln_final.bias",)
    assert loaded.others == ("scale_arr",)


def test_what_was_loaded_computes_and_only_the_unet_learns(tmp_path: Path) -> None:
    torch.save(tensors(), tmp_path / "model.ckpt")
    loaded = load(str(tmp_path / "model.ckpt"), UNET, AUTOENCODER)
    assert torch.equal(loaded.unet(*unet_inputs()), filled(UNet(UNET))(*unet_inputs()))
    assert all(parameter.requires_grad for parameter in loaded.unet.parameters())
    assert not any(parameter.requires_grad for parameter in loaded.autoencoder.parameters())
    assert not loaded.unet.training


def test_another_architecture_is_refused_in_one_line(tmp_path: Path) -> None:
    state = tensors()
    for name in [name for name in state if "fps_embedding" in name]:
        del state[name]
    state[NETWORK + "label_emb.weight"] = torch.zeros(3)
    state[CODEC + "quant_conv.bias"] = torch.zeros(5)
    torch.save(state, tmp_path / "other.ckpt")
    with pytest.raises(UsageError) as error:
        load(str(tmp_path / "other.ckpt"), UNET, AUTOENCODER)
    assert str(error.value) == (
        f"weights: got {tmp_path}/other.ckpt with tensors 4 missing (model.diffusion_model.fps_embedding.0.bias, "
        "model.diffusion_model.fps_embedding.0.weight, model.diffusion_model.fps_embedding.2.bias, ...), "
        "1 unexpected (model.diffusion_model.label_emb.weight), "
        "1 of another shape (first_stage_model.quant_conv.bias: (5,), not (8,)), wanted those of VideoCrafter2: "
        "give its public model.ckpt of 512 pixels, or the sizes of this one"
    )


@pytest.mark.parametrize("content", ["deeper", "text", "missing"])
def test_what_is_no_checkpoint_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    if content == "deeper":
        torch.save({"state_dict": {"model": tensors()}}, path)
    elif content == "text":
        path.write_text("no weights at all")
    with pytest.raises(UsageError, match=r"^weights: .*: give "):
        load(str(path), UNET, AUTOENCODER)
