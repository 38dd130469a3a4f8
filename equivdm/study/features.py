"""What frames look like to a network that nobody trained: enough to compare sets of small videos, and no more."""

from functools import cache
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Float32
from torch import Tensor

from equivdm.arrays import Frames

WIDTHS = (3, 8, 12, 16)
"""Channels of the picture, and of each layer."""

_SEED = 20251
"""Of the weights: features of another seed are other features."""

Kernels = Float[Tensor, "outputs inputs 3 3"]


def random_features(frames: Frames) -> Float32[np.ndarray, "_ features"]:
    """Return a row a frame: mean and deviation over the picture of each channel of a fixed random network.

    Three convolutions, each at half the size of the one before; orthogonal weights of one seed. They see colours,
    edges and textures at three scales.
    """
    maps = rearrange(torch.from_numpy(frames).float() / 127.5 - 1, "t h w c -> t c h w")
    found = []
    for layer in _layers():
        maps = F.leaky_relu(F.conv2d(F.avg_pool2d(maps, 2) if found else maps, layer), 0.2)
        found += [maps.mean((2, 3)), maps.std((2, 3))]
    return torch.cat(found, 1).numpy()


@cache
def _layers() -> tuple[Kernels, ...]:
    rng, layers = np.random.default_rng(_SEED), []
    for inputs, outputs in pairwise(WIDTHS):
        rows = np.linalg.qr(rng.standard_normal((9 * inputs, outputs)))[0].T
        layers.append(torch.from_numpy(rows.reshape(outputs, inputs, 3, 3).astype(np.float32)))
    return tuple(layers)
