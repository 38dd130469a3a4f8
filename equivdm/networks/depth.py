"""Depth of single pictures by a network from a local path: a model of transformers, or a TorchScript module."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float32
from torch import Tensor
from torch.nn import functional

from equivdm.arrays import Frames
from equivdm.errors import UsageError
from equivdm.networks.weights import file_status

_AT_ONCE = 4
"""Frames in one pass."""

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
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    """Subtracted from RGB of 0 to 1; ImageNet's by default."""
    deviation: tuple[float, ...] = (0.229, 0.224, 0.225)
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
            self._network, self._form = _script(model, self._device), InputForm()

    @torch.inference_mode()
    def __call__(self, frames: Frames) -> Float32[np.ndarray, "time height width"]:
        """Return one map a frame, of the frames' size: near is large."""
        parts = [self._maps(frames[k : k + _AT_ONCE]) for k in range(0, len(frames), _AT_ONCE)]
        return torch.cat(parts).cpu().numpy()

    def _maps(self, frames: Frames) -> DepthMaps:
        height, width = frames.shape[1:3]
        pictures = rearrange(torch.tensor(frames, device=self._device), "t h w c -> t c h w").float() / 255
        size = self._form.size(height, width)
        pictures = functional.interpolate(pictures, size, mode="bicubic", align_corners=False, antialias=True)
        mean, deviation = (
            torch.tensor(each, device=self._device).view(3, 1, 1) for each in (self._form.mean, self._form.deviation)
        )
        maps = self._network((pictures - mean) / deviation)
        maps = maps.reshape(len(frames), 1, *maps.shape[-2:]).float()
        return functional.interpolate(maps, (height, width), mode="bilinear", align_corners=False)[:, 0]


def _transformer(folder: str, device: torch.device) -> Callable[[Pictures], Tensor]:
    try:
        from transformers import AutoModelForDepthEstimation
    except ModuleNotFoundError as error:
        raise UsageError(
            "control.kind=depth: transformers is not installed: pip install 'equivdm[depth]', or give TorchScript"
        ) from error
    try:
        # Any: the automatic class has no type of its own.
        model: Any = AutoModelForDepthEstimation.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        cause = str(error).splitlines()[0]
        raise UsageError(f"control.model: {folder} holds no depth model ({cause}): give a folder of one") from error
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


def _script(path: str, device: torch.device) -> Callable[[Pictures], Tensor]:
    file_status(path)
    try:
        return torch.jit.load(path, map_location=device).eval()
    except RuntimeError as error:
        cause = str(error).splitlines()[0]
        raise UsageError(
            f"control.model: {path} is no TorchScript file ({cause}): give one, or a folder of transformers"
        ) from error
