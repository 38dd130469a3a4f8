"""Depth of single pictures by a network from a local path: a model of transformers, or a TorchScript module."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor
from torch.nn import functional

from equivdm.arrays import Frames
from equivdm.networks.pictures import IMAGENET, normalised, to_pictures
from equivdm.networks.pretrained import from_folder
from equivdm.networks.script import load_script

_AT_ONCE = 4
"""Frames in one pass."""

_INSTEAD = ", or a folder of transformers"

_FARTHEST = 1e-3
"""Least depth in metres that a metric model's inverse is taken of."""

Pictures = Float32[Tensor, "frames 3 height width"]
DepthMaps = Float32[Tensor, "frames height width"]


@dataclass(frozen=True)
class InputForm:
    """What a network wants its pictures to be: preprocessor_config.json of a model's folder says it."""

    shorter: int | None = None
    """Pixels of the shorter side; the frame's own where none is given."""
    multiple: int = 32
    """Both sides are rounded to multiples of it."""
    mean: tuple[float, ...] = IMAGENET[0]
    """Subtracted from RGB of 0 to 1; ImageNet's by default."""
    deviation: tuple[float, ...] = IMAGENET[1]
    """Divides what remains."""

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width that frames are scaled to; their shape is kept but for the rounding."""
        scale = (self.shorter or min(height, width)) / min(height, width)
        rows, columns = (max(1, round(side * scale / self.multiple)) * self.multiple for side in (height, width))
        return rows, columns


class Depth:
    """Inverse depth of frames, each by itself, on a scale of the network. Holds it: build it once a process."""

    def __init__(self, model: str, device: str | None = None) -> None:
        """Load the network.

        Args:
            model: a folder that transformers' AutoModelForDepthEstimation reads, or a TorchScript file whose module
                takes RGB normalised by ImageNet's mean and deviation, (frames, 3, height, width) with sides that are
                multiples of 32, and returns inverse depth, (frames, height, width) or (frames, 1, height, width).
            device: of torch; the GPU where there is one, if none is given.

        Raises:
            UsageError: where there is no such model.
        """
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        if Path(model).is_dir():
            self._network, self._form = _transformer(model, self._device), _form_of(Path(model))
        else:
            self._network, self._form = load_script(model, self._device, "control.model", _INSTEAD), InputForm()

    @torch.inference_mode()
    def __call__(self, frames: Frames) -> Float32[np.ndarray, "time height width"]:
        """Return one map a frame, of the frames' size: near is large."""
        parts = [self._maps(frames[k : k + _AT_ONCE]) for k in range(0, len(frames), _AT_ONCE)]
        return torch.cat(parts).cpu().numpy()

    def _maps(self, frames: Frames) -> DepthMaps:
        height, width = frames.shape[1:3]
        pictures = to_pictures(frames, self._device)
        size = self._form.size(height, width)
        pictures = functional.interpolate(pictures, size, mode="bicubic", align_corners=False, antialias=True)
        maps = self._network(normalised(pictures, self._form.mean, self._form.deviation))
        maps = maps.reshape(len(frames), 1, *maps.shape[-2:]).float()
        return functional.interpolate(maps, (height, width), mode="bilinear", align_corners=False)[:, 0]


def _transformer(folder: str, device: torch.device) -> Callable[[Pictures], Tensor]:
    model = from_folder("AutoModelForDepthEstimation", folder, "control.model", "depth")
    model = model.to(device).eval()
    metric = getattr(model.config, "depth_estimation_type", "relative") == "metric"

    def inverse_depth(pictures: Pictures) -> Tensor:
        maps = model(pixel_values=pictures).predicted_depth
        return 1 / maps.clamp(min=_FARTHEST) if metric else maps

    return inverse_depth


def _form_of(folder: Path) -> InputForm:
    file = folder / "preprocessor_config.json"
    if not file.is_file():
        return InputForm()
    said = json.loads(file.read_text())
    size, form = said.get("size", {}), InputForm()
    return InputForm(
        shorter=size.get("height", size.get("shortest_edge")),
        multiple=said.get("ensure_multiple_of") or 1,
        mean=tuple(said.get("image_mean", form.mean)),
        deviation=tuple(said.get("image_std", form.deviation)),
    )
