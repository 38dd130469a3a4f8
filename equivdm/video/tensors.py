"""Between frames as codecs have them and videos as backbones have them."""

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from equivdm.arrays import Frames


def to_model_range(frames: Frames) -> Float[Tensor, "3 time height width"]:
    """Return RGB bytes 0..255 as floats -1..1, channels first."""
    return rearrange(torch.tensor(frames), "t h w c -> c t h w").float() / 127.5 - 1


def to_frames(video: Float[Tensor, "3 time height width"]) -> Frames:
    """Return floats -1..1 as RGB bytes, rounded; what lies outside is clipped."""
    pixels = ((video.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(rearrange(pixels, "c t h w -> t h w c").cpu().numpy())
