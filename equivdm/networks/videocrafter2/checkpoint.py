"""Reading the public checkpoint, `model.ckpt`, or a .safetensors of the same names."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from equivdm.errors import UsageError
from equivdm.networks.state import load_state
from equivdm.networks.videocrafter2.autoencoder import Autoencoder
from equivdm.networks.videocrafter2.sizes import AutoencoderSizes, UNetSizes
from equivdm.networks.videocrafter2.unet import UNet

UNET, AUTOENCODER, TEXT_ENCODER = "model.diffusion_model.", "first_stage_model.", "cond_stage_model."
"""What the names of each part begin with in the file."""

_NAMED = 3
"""Names of each kind that an error gives."""


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds."""

    unet: UNet
    """In evaluation mode, float32."""
    autoencoder: Autoencoder
    """In evaluation mode, float32, its weights frozen."""
    text_encoder: tuple[str, ...]
    """Names of the text encoder's tensors, which are left aside."""
    others: tuple[str, ...]
    """Names of everything else, left aside too: the tables of the noise process."""


def load(path: str, unet: UNetSizes, autoencoder: AutoencoderSizes) -> Checkpoint:
    """Return the networks of a local file, on the CPU. Code in a pickle is refused, not run.

    Args:
        path: of what torch.save wrote, the tensors in a table of their own or under `state_dict`, or a .safetensors.
        unet: sizes of the UNet in it.
        autoencoder: sizes of the autoencoder in it.

    Raises:
        UsageError: where it cannot be read, or a tensor of the networks is missing, unknown or of another shape.
    """
    state = load_state(path, under="state_dict")
    with torch.device("meta"):  # shapes only: the file's tensors become the weights
        network, codec = UNet(unet), Autoencoder(autoencoder)
    _check(path, state, _prefixed(UNET, network) | _prefixed(AUTOENCODER, codec))
    _fill(network, UNET, state)
    _fill(codec, AUTOENCODER, state)
    text_encoder = tuple(sorted(name for name in state if name.startswith(TEXT_ENCODER)))
    others = tuple(sorted(name for name in state if not name.startswith((UNET, AUTOENCODER, TEXT_ENCODER))))
    return Checkpoint(network, codec.requires_grad_(False), text_encoder, others)


def _prefixed(prefix: str, network: nn.Module) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in network.state_dict().items()}


def _check(path: str, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    found = {name: tensor for name, tensor in state.items() if name.startswith((UNET, AUTOENCODER))}
    faults = {
        "missing": sorted(wanted.keys() - found.keys()),
        "unexpected": sorted(found.keys() - wanted.keys()),
        "of another shape": [
            f"{name}: {tuple(found[name].shape)}, not {tuple(wanted[name].shape)}"
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


def _fill(network: nn.Module, prefix: str, state: Mapping[str, Tensor]) -> None:
    own = {name.removeprefix(prefix): tensor.float() for name, tensor in state.items() if name.startswith(prefix)}
    network.load_state_dict(own, assign=True)
    network.eval()
