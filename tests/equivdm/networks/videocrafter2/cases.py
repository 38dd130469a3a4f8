"""Networks of the least size. Weights and inputs follow from their names, whatever order they are made in.

names.tsv and golden.json come from the authors' code (github.com/AILab-CVC/VideoCrafter, commit 11bcd76f,
configs/inference_t2v_512_v2.0.yaml): its tensors at the public size, and its results at the sizes here, with the same
weights and inputs, in evaluation mode.
"""

import json
from pathlib import Path
from typing import TypeVar
from zlib import crc32

import numpy as np
import torch
from torch import Tensor, nn

from equivdm.networks.videocrafter2.sizes import AutoencoderSizes, UNetSizes

UNET = UNetSizes(width=32, factors=(1, 2, 2), blocks=1, attending=2, head_width=16, text_width=24)
"""Three levels; the coarsest has no attention of its own, as in the public size."""

AUTOENCODER = AutoencoderSizes(width=32, factors=(1, 2), blocks=1)

Network = TypeVar("Network", bound=nn.Module)


def numbers(name: str, *shape: int) -> Tensor:
    """Uniform numbers of unit variance that belong to the name."""
    uniform = np.random.default_rng(crc32(name.encode())).random(shape)
    return torch.tensor((2 * uniform - 1) * 3**0.5, dtype=torch.float32)


def filled(network: Network) -> Network:
    """The network with weights that keep the variance, none of them zero; in evaluation mode."""
    for name, parameter in network.named_parameters():
        values = numbers(name, *parameter.shape)
        if parameter.ndim > 1:
            parameter.data = values / parameter[0].numel() ** 0.5
        else:  # of a normalisation, or biases
            parameter.data = name.endswith("weight") + values / 10
    return network.eval()


def unet_inputs(batch: int = 2, frames: int = 3, rows: int = 8, columns: int = 12) -> tuple[Tensor, ...]:
    """Noisy latents, time steps, text and frame rates."""
    timesteps, fps = torch.tensor([7, 901, 450])[:batch], torch.tensor([28, 8, 16])[:batch]
    return numbers("latents", batch, 4, frames, rows, columns), timesteps, numbers("text", batch, 5, 24), fps


def golden(name: str) -> Tensor:
    """Every seventh number that the authors' code gave for the same weights and inputs."""
    return torch.tensor(json.loads((Path(__file__).parent / "golden.json").read_text())[name])


def sparse(values: Tensor) -> Tensor:
    """Every seventh number."""
    return values.detach().flatten()[::7]
