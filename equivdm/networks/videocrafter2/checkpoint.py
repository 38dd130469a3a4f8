"""Reading the public checkpoint, `model.ckpt`, or a .safetensors of the same names, part by part."""

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from equivdm.errors import UsageError
from equivdm.networks.deferred import Reader, as_readers, fill
from equivdm.networks.state import load_state
from equivdm.networks.videocrafter2.autoencoder import Autoencoder
from equivdm.networks.videocrafter2.sizes import AutoencoderSizes, TextSizes, UNetSizes
from equivdm.networks.videocrafter2.text import TextTower
from equivdm.networks.videocrafter2.unet import UNet

UNET, AUTOENCODER, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.model."
"""What the names of each part begin with in the file. Beside them it has the tables of the noise process."""

_NAMED = 3
"""Names of each kind that an error gives."""

Network = TypeVar("Network", bound=nn.Module)


def open_unet(path: str, sizes: UNetSizes) -> tuple[UNet, dict[str, Reader]]:
    """Return the UNet of a local file without its weights, in evaluation mode, and what reads them.

    Args:
        path: of what torch.save wrote, the tensors in a table of their own or under `state_dict`, or a .safetensors.
            Code in a pickle is refused, not run.
        sizes: of the network in it.

    Raises:
        UsageError: where it cannot be read, or a tensor of the network is missing, unknown or of another shape.
    """
    with torch.device("meta"):
        network = UNet(sizes)
    return network.eval(), _readers(network, path, UNET)


def load_unet(path: str, sizes: UNetSizes) -> UNet:
    """Return it with its weights, on the CPU, in float32."""
    network, readers = open_unet(path, sizes)
    fill(network, readers, "cpu")
    return network


def load_autoencoder(path: str, sizes: AutoencoderSizes) -> Autoencoder:
    """Return the autoencoder likewise, its weights frozen."""
    with torch.device("meta"):
        network = Autoencoder(sizes)
    return _frozen(network, path, AUTOENCODER)


def load_text(path: str, sizes: TextSizes) -> TextTower:
    """Return the text encoder likewise, its weights frozen."""
    with torch.device("meta"):
        network = TextTower(sizes)
    # OpenCLIP's own, of no use before its last block.
    unused = ("text_projection", "logit_scale", f"transformer.resblocks.{sizes.blocks - 1}.")
    return _frozen(network, path, TEXT, unused)


def _frozen(network: Network, path: str, prefix: str, unused: tuple[str, ...] = ()) -> Network:
    fill(network, _readers(network, path, prefix, unused), "cpu")
    return network.eval().requires_grad_(False)


def _readers(network: nn.Module, path: str, prefix: str, unused: tuple[str, ...] = ()) -> dict[str, Reader]:
    state = load_state(path, under="state_dict")
    own = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    own = {name: tensor for name, tensor in own.items() if not name.startswith(unused)}
    _check(path, prefix, own, network.state_dict())
    return as_readers(own)


def _check(path: str, prefix: str, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    faults = {
        "missing": [prefix + name for name in sorted(wanted.keys() - found.keys())],
        "unexpected": [prefix + name for name in sorted(found.keys() - wanted.keys())],
        "of another shape": [
            f"{prefix}{name}: {tuple(found[name].shape)}, not {tuple(wanted[name].shape)}"
            for name in sorted(wanted.keys() & found.keys())
            if found[name].shape != wanted[name].shape
        ],
    }
    said = [f"{len(names)} {kind} ({_first(names)})" for kind, names in faults.items() if names]
    if said:
        raise UsageError(
            f"weights: got {path} with tensors {', '.join(said)}, wanted those of VideoCrafter2: "
            "give its public model.ckpt of 512 pixels, or the sizes of this one"
        )


def _first(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
