"""What VACE is shown: a video, split by a mask into what stays and what is to be repainted (arXiv 2503.07598)."""

import torch
from einops import rearrange, repeat
from torch.nn import functional

from equivdm.backbones.base import Control, Video, control_as_float
from equivdm.backbones.wan.backbone import GEOMETRY
from equivdm.backbones.wan.codec import WanCodec
from equivdm.backbones.wan.shapes import PixelMask, VaceControl
from equivdm.types import Latents


def control_video(condition: Control) -> Video:
    """Return a dense condition as an RGB video: 0 is black (-1), 1 is white (1), one channel is grey."""
    values = 2 * control_as_float(condition) - 1
    if values.ndim == 4:
        return repeat(values, "b f h w -> b rgb f h w", rgb=3)
    return rearrange(values, "b f h w rgb -> b rgb f h w")


def vace_control(codec: WanCodec, video: Video, mask: PixelMask | None = None) -> VaceControl:
    """Return VACE's control: latents of what stays, latents of what is repainted, and the mask, 16 + 16 + 64 channels.

    Args:
        codec: of the model.
        video: RGB, -1 to 1; a dense condition as `control_video` gives it, or pictures to be filled in. 4n + 1 frames.
        mask: where to generate. None, which is pure control, is everywhere; pictures then guide and are not kept.

    Raises:
        ValueError: for a length or size that the codec does not take, or a mask of another.
    """
    if mask is None:
        mask = torch.ones_like(video[:, 0], dtype=torch.bool)
        # Nothing stays: the latents of mid grey, which are the same for every sample.
        inactive = codec.encode(torch.zeros_like(video[:1])).expand(len(video), -1, -1, -1, -1)
        reactive = codec.encode(video)
    else:
        _check_mask(mask, video)
        generated = mask[:, None].to(video.device)
        inactive, reactive = codec.encode(video * ~generated), codec.encode(video * generated)
    return torch.cat([inactive, reactive, mask_channels(mask).to(reactive)], 1)


def mask_channels(mask: PixelMask) -> Latents:
    """Return the mask on the latent grid: the 8 x 8 pixels of a cell as 64 channels, row by row, 1 to generate.

    Of the 4n + 1 frames n + 1 are taken, the nearest to the middles of as many equal parts of the clip.
    """
    stride = GEOMETRY.space_stride
    rows, columns = GEOMETRY.grid(mask.shape[2], mask.shape[3])
    frames = len(GEOMETRY.frame_indices(mask.shape[1]))
    cells = rearrange(mask.float(), "b f (h p) (w q) -> b (p q) f h w", p=stride, q=stride)
    return functional.interpolate(cells, (frames, rows, columns), mode="nearest-exact")


def _check_mask(mask: PixelMask, video: Video) -> None:
    wanted = (video.shape[0], *video.shape[2:])
    if mask.shape != wanted:
        raise ValueError(
            f"got a mask of {tuple(mask.shape)} (batch, frames, height, width), wanted {wanted}: give the video's"
        )
