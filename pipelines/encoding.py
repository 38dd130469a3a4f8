"""Pictures through a backbone's codec: the latents that preprocess stores, and that a render shows a network."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

    from equivdm.backbones.base import Codec


def as_video(pictures: np.ndarray) -> np.ndarray:
    """Return pictures as models take them: float32 [3, frames, height, width], -1 to 1.

    Grey ones, uint8 [frames, height, width], are in all three channels: black is -1.
    """
    from equivdm.video.tensors import to_model_range

    return to_model_range(pictures if pictures.ndim == 4 else np.repeat(pictures[..., None], 3, axis=-1)).numpy()


def encoder(codec: "Codec", device: "torch.device") -> Callable[[np.ndarray], np.ndarray]:
    """Return what makes float16 latents [channels, time, h, w] of a video as `as_video` has it."""
    import torch

    def encode(video: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return codec.encode(torch.from_numpy(video).to(device)[None])[0].half().cpu().numpy()

    return encode
