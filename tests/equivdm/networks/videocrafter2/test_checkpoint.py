"""Reading files with the public names: all of them, and nothing else."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from equivdm.errors import UsageError
from equivdm.networks.videocrafter2.autoencoder import Autoencoder
from equivdm.networks.videocrafter2.checkpoint import AUTOENCODER as CODEC
from equivdm.networks.videocrafter2.checkpoint import TEXT, load_autoencoder, load_text, load_unet
from equivdm.networks.videocrafter2.checkpoint import UNET as NETWORK
from equivdm.networks.videocrafter2.sizes import AutoencoderSizes, TextSizes, UNetSizes
from equivdm.networks.videocrafter2.text import TextTower
from equivdm.networks.videocrafter2.unet import UNet
from tests.equivdm.networks.videocrafter2.cases import AUTOENCODER, UNET, filled, unet_inputs

TOWER = TextSizes(width=24, blocks=2, heads=2, words=8, vocabulary=20)

LINES = [line.split("\t") for line in (Path(__file__).parent / "names.tsv").read_text().splitlines()[1:]]
"""Name and shape of each tensor of the authors' UNet and autoencoder at the public size."""


def tensors() -> dict[str, Tensor]:
    """What a file of the tiny networks holds, and what the public one holds beside them."""
    networks = {NETWORK: filled(UNet(UNET)), CODEC: filled(Autoencoder(AUTOENCODER)), TEXT: filled(TextTower(TOWER))}
    own = {prefix + name: each for prefix, network in networks.items() for name, each in network.state_dict().items()}
    unused = ("logit_scale", "text_projection", "transformer.resblocks.1.ln_1.weight")
    return own | {TEXT + name: torch.zeros(24) for name in unused} | {"scale_arr": torch.ones(1400)}


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
    """The codec takes one frame after another, all alike: one is enough."""
    with torch.device("meta"):
        unet, codec = UNet(UNetSizes()), Autoencoder(AutoencoderSizes())
        latents = codec.encode(torch.empty(1, 3, 1, 320, 512)).expand(-1, -1, 16, -1, -1)
        eps = unet(latents, torch.tensor([500]), torch.empty(1, 77, 1024), torch.tensor([28]))
        picture = codec.decode(eps[:, :, :1])
    assert eps.shape == latents.shape == (1, 4, 16, 40, 64)
    assert picture.shape == (1, 3, 1, 320, 512)


@pytest.mark.parametrize("form", ["nested.ckpt", "flat.ckpt", "half.ckpt", "flat.safetensors"])
def test_a_file_s_tensors_become_the_networks(form: str, tmp_path: Path) -> None:
    path, state = tmp_path / form, tensors()
    if form.endswith("safetensors"):
        save_file(state, path)
    elif form == "half.ckpt":
        torch.save({name: each.half() for name, each in state.items()}, path)
    else:
        torch.save({"state_dict": state, "global_step": 9} if form == "nested.ckpt" else state, path)
    loaded = {
        NETWORK: load_unet(str(path), UNET),
        CODEC: load_autoencoder(str(path), AUTOENCODER),
        TEXT: load_text(str(path), TOWER),
    }
    found = {prefix + name: each for prefix, network in loaded.items() for name, each in network.state_dict().items()}
    assert len(found) == len(state) - 4  # what nothing here uses
    for name, each in found.items():
        assert torch.equal(each, state[name].half().float() if form == "half.ckpt" else state[name])


def test_what_was_loaded_computes_and_only_the_unet_learns(tmp_path: Path) -> None:
    path = str(tmp_path / "model.ckpt")
    torch.save(tensors(), path)
    unet = load_unet(path, UNET)
    assert torch.equal(unet(*unet_inputs()), filled(UNet(UNET))(*unet_inputs()))
    assert all(parameter.requires_grad for parameter in unet.parameters())
    frozen = (load_autoencoder(path, AUTOENCODER), load_text(path, TOWER))
    assert not any(parameter.requires_grad for network in frozen for parameter in network.parameters())
    assert not any(network.training for network in (unet, *frozen))


def test_names_and_shapes_of_the_text_tower_are_openclip_s() -> None:
    with torch.device("meta"):
        shapes = {name: tuple(each.shape) for name, each in TextTower(TextSizes()).state_dict().items()}
    block = {
        "ln_1.weight": (1024,),
        "ln_1.bias": (1024,),
        "attn.in_proj_weight": (3072, 1024),
        "attn.in_proj_bias": (3072,),
        "attn.out_proj.weight": (1024, 1024),
        "attn.out_proj.bias": (1024,),
        "ln_2.weight": (1024,),
        "ln_2.bias": (1024,),
        "mlp.c_fc.weight": (4096, 1024),
        "mlp.c_fc.bias": (4096,),
        "mlp.c_proj.weight": (1024, 4096),
        "mlp.c_proj.bias": (1024,),
    }
    wanted = {f"transformer.resblocks.{k}.{name}": shape for k in range(23) for name, shape in block.items()}
    ends = {"token_embedding.weight": (49408, 1024), "positional_embedding": (77, 1024)}
    assert shapes == wanted | ends | {"ln_final.weight": (1024,), "ln_final.bias": (1024,)}


def test_another_architecture_is_refused_in_one_line(tmp_path: Path) -> None:
    state = tensors()
    for name in [name for name in state if "fps_embedding" in name]:
        del state[name]
    state[NETWORK + "label_emb.weight"] = torch.zeros(3)
    state[NETWORK + "out.2.bias"] = torch.zeros(5)
    torch.save(state, tmp_path / "other.ckpt")
    with pytest.raises(UsageError) as error:
        load_unet(str(tmp_path / "other.ckpt"), UNET)
    assert str(error.value) == (
        f"weights: got {tmp_path}/other.ckpt with tensors 4 missing (model.diffusion_model.fps_embedding.0.bias, "
        "model.diffusion_model.fps_embedding.0.weight, model.diffusion_model.fps_embedding.2.bias, ...), "
        "1 unexpected (model.diffusion_model.label_emb.weight), "
        "1 of another shape (model.diffusion_model.out.2.bias: (5,), not (4,)), wanted those of VideoCrafter2: "
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
        load_unet(str(path), UNET)
