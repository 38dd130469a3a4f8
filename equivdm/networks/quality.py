"""Quality of single frames by MUSIQ (Ke et al. 2021, arXiv 2108.05997), through pyiqa, which brings torchvision."""

import importlib
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor
from torch.nn.functional import interpolate

from equivdm.arrays import Frames
from equivdm.errors import UsageError
from equivdm.networks.pictures import to_pictures
from equivdm.networks.state import load_state

_LONGEST = 512
"""Pixels of the longer side that VBench shrinks larger frames to."""


@torch.inference_mode()
def quality_scores(frames: Frames, path: str, device: str) -> Float32[Tensor, " frames"]:
    """Return MUSIQ's score of each frame, 0 to 100, on the CPU, prepared as VBench (arXiv 2311.17982) prepares it.

    Raises:
        UsageError: for weights that cannot be read, or are another network's.
        ModuleNotFoundError: where pyiqa is not installed.
    """
    model = _musiq(path, device)
    pictures = to_pictures(frames, torch.device(device))
    height, width = pictures.shape[-2:]
    if max(height, width) > _LONGEST:
        size = [int(side * _LONGEST / max(height, width)) for side in (height, width)]
        pictures = interpolate(pictures, size, mode="bilinear", align_corners=False)
    return torch.cat([model(picture[None]).reshape(1) for picture in pictures]).float().cpu()


@lru_cache(maxsize=1)
def _musiq(path: str, device: str) -> Any:
    # By name: it is no dependency, and its types are not known. Without `pretrained` it downloads nothing.
    model = importlib.import_module("pyiqa.archs.musiq_arch").MUSIQ(pretrained=False)
    try:
        model.load_state_dict(load_state(path))
    except RuntimeError as error:
        raise UsageError(f"weights.quality: {path} is not MUSIQ's: give the file of docs/metrics.md") from error
    return model.to(device).eval()
