"""What the networks of FID and FVD see, by TorchScript files from local paths. Each is loaded once a process."""

from functools import lru_cache
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from equivdm.arrays import Features, Frames
from equivdm.errors import UsageError
from equivdm.networks.pictures import centred, scaled, to_bytes, to_pictures
from equivdm.networks.script import load_script

_AT_ONCE = 16
"""Frames in one pass of Inception."""

_I3D_SIDE = 224
_I3D_LEAST = 9
"""Frames that I3D needs: it halves time three times, and averages over two of what remains."""


@torch.inference_mode()
def inception_features(frames: Frames, path: str, device: str) -> Features:
    """Return Inception-v3's features of each frame, before the last layer: 2048 numbers.

    The module is called with RGB bytes, (frames, 3, height, width), and return_features=True; it scales them itself, as
    that of `inception-2015-12-05.pt` does. Raises UsageError for a file that holds no such module.
    """
    module = _script(path, device, "weights.inception", ("return_features",))
    pictures = to_bytes(frames, torch.device(device))
    return _checked(
        torch.cat([module(part, return_features=True) for part in pictures.split(_AT_ONCE)]), len(frames), path
    )


@torch.inference_mode()
def i3d_features(frames: Frames, path: str, device: str) -> Features:
    """Return I3D's features of a clip, one row of 400 logits.

    The shorter side is scaled to 224, and a square cut from the middle. The module is called with RGB of -1 to 1, (1,
    3, frames, 224, 224), rescale=False, resize=False and return_features=True, as `i3d_torchscript.pt` wants it.

    Raises:
        ValueError: for fewer than 9 frames, of which the network makes nothing.
        UsageError: for a file that holds no such module.
    """
    if len(frames) < _I3D_LEAST:
        raise ValueError(f"frames: got {len(frames)}, wanted at least {_I3D_LEAST} for FVD: measure longer videos")
    module = _script(path, device, "weights.i3d", ("rescale", "resize", "return_features"))
    square = centred(scaled(to_pictures(frames, torch.device(device)), _I3D_SIDE, "bilinear"), _I3D_SIDE)
    video = rearrange(2 * square - 1, "t c h w -> 1 c t h w").contiguous()
    return _checked(module(video, rescale=False, resize=False, return_features=True), 1, path)


def _checked(features: Tensor, rows: int, path: str) -> Features:
    if features.ndim != 2 or len(features) != rows:
        raise UsageError(
            f"weights: {path} gave {tuple(features.shape)}, wanted ({rows}, features): give another network"
        )
    return features.float().cpu().numpy()


@lru_cache(maxsize=4)
def _script(path: str, device: str, setting: str, takes: tuple[str, ...]) -> torch.jit.ScriptModule:
    module = load_script(path, torch.device(device), setting)
    forward: Any = module.forward  # its type knows no schema
    names = [argument.name for argument in forward.schema.arguments[1:]]
    if not set(takes) <= set(names):
        raise UsageError(
            f"{setting}: {path} takes {', '.join(names)}, wanted a module that takes {', '.join(takes)} too: give the "
            "file of docs/metrics.md"
        )
    return module
