"""LPIPS by AlexNet (Zhang et al., "The Unreasonable Effectiveness of Deep Features", 2018, arXiv 1801.03924).

The package `lpips` needs torchvision; here are AlexNet's convolutions and the learned weights alone, by torchvision's
and the package's names, from local files.
"""

from functools import lru_cache
from itertools import pairwise

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from equivdm.arrays import Frames
from equivdm.errors import UsageError
from equivdm.networks.pictures import to_pictures
from equivdm.networks.state import load_state

_AT_ONCE = 16
"""Pairs of frames in one pass."""

_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
"""Of RGB from -1 to 1, in the authors' release."""

_LEAST = 32
"""Pixels a side that leave something after the second pooling."""

_CHANNELS = (3, 64, 192, 384, 256, 256)
_CONVOLUTIONS = {0: (11, 4, 2), 3: (5, 1, 2), 6: (3, 1, 1), 8: (3, 1, 1), 10: (3, 1, 1)}
"""Kernel, stride and padding of the convolutions, by their place in torchvision's `features`."""

_POOLED = (3, 6)
"""Places of the convolutions that see what was pooled."""

Pairs = Float32[Tensor, "pairs 3 height width"]
Maps = Float[Tensor, "pairs channels _ _"]


class Lpips(nn.Module):
    """The distance of two pictures: sum over layers of the mean over places of sum_c w_c (y_c - y'_c)^2.

    y are the layer's outputs after ReLU, divided at each place by their length over the channels.
    """

    def __init__(self) -> None:
        super().__init__()
        sizes = zip(_CONVOLUTIONS.items(), pairwise(_CHANNELS), strict=True)
        self.features = nn.ModuleDict({str(place): nn.Conv2d(*channels, *form) for (place, form), channels in sizes})
        self.linear = nn.ParameterList([torch.zeros(1, channels, 1, 1) for channels in _CHANNELS[1:]])

    def forward(self, first: Pairs, second: Pairs) -> Float32[Tensor, " pairs"]:
        """Return the distance of each pair of pictures, RGB of -1 to 1 with sides of at least 32."""
        total = first.new_zeros(len(first))
        for weights, one, other in zip(self.linear, self._layers(first), self._layers(second), strict=True):
            total += (weights * (_unit(one) - _unit(other)).square()).sum(1).mean((1, 2))
        return total

    def _layers(self, pictures: Pairs) -> list[Maps]:
        shift, scale = (torch.tensor(each, device=pictures.device).view(3, 1, 1) for each in (_SHIFT, _SCALE))
        maps, layers = (pictures - shift) / scale, list[Maps]()
        for place, convolution in self.features.items():
            if int(place) in _POOLED:
                maps = max_pool2d(maps, 3, 2)
            maps = relu(convolution(maps))
            layers.append(maps)
        return layers


def _unit(maps: Maps) -> Maps:
    return maps / (maps.square().sum(1, keepdim=True).sqrt() + 1e-10)


@torch.inference_mode()
def lpips_distances(
    frames: Frames, reference: Frames, alexnet: str, linear: str, device: str
) -> Float32[Tensor, " frames"]:
    """Return the distance of each frame from the reference's, on the CPU.

    Args:
        frames: with sides of at least 32, as the reference's.
        reference: as many frames, of the same size.
        alexnet: path of torchvision's AlexNet.
        linear: path of `lpips_v0.1_lin_alex.pth`.
        device: of torch.

    Raises:
        ValueError: for smaller frames.
        UsageError: for files that hold something else.
    """
    if min(frames.shape[1:3]) < _LEAST:
        raise ValueError(f"frames: got {frames.shape[1:3]}, wanted sides of {_LEAST} px at least for LPIPS")
    network, place = load_lpips(alexnet, linear, device), torch.device(device)
    both = [2 * to_pictures(each, place) - 1 for each in (frames, reference)]
    pairs = zip(*(each.split(_AT_ONCE) for each in both), strict=True)
    return torch.cat([network(one, other) for one, other in pairs]).cpu()


@lru_cache(maxsize=1)
def load_lpips(alexnet: str, linear: str, device: str) -> Lpips:
    """Return the network with its weights. Raises UsageError for files that hold something else."""
    learned = load_state(linear)
    own = {name: tensor for name, tensor in load_state(alexnet).items() if name.startswith("features.")}
    own |= {f"linear.{k}": learned[name] for k in range(5) if (name := f"lin{k}.model.1.weight") in learned}
    network = Lpips()
    shapes = [{(name, tensor.shape) for name, tensor in each.items()} for each in (own, network.state_dict())]
    differ = sorted({name for name, _ in shapes[0] ^ shapes[1]})
    if differ:
        file = linear if differ[0].startswith("linear.") else alexnet
        raise UsageError(
            f"weights: {file} is not LPIPS': {len(differ)} tensors are missing, unknown or of another shape, such as "
            f"{differ[0]!r}; give torchvision's AlexNet, and lpips_v0.1_lin_alex.pth"
        )
    network.load_state_dict(own)
    return network.to(device).eval()
