"""Features of frames and captions by CLIP and DINO, models of transformers from local folders, each loaded once.

Frames are prepared as VBench (arXiv 2311.17982) prepares them.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor
from torch.nn.functional import normalize

from equivdm.arrays import Features, Frames
from equivdm.errors import UsageError
from equivdm.networks.pictures import IMAGENET, Pictures, centred, normalised, scaled, to_pictures
from equivdm.networks.pretrained import from_folder, whole_model

_AT_ONCE = 16
"""Frames in one pass."""

_CLIP_COLOURS = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Mean and deviation of RGB that CLIP was trained with (Radford et al. 2021)."""


@torch.inference_mode()
def clip_frames(frames: Frames, folder: str, device: str) -> Features:
    """Return CLIP's embedding of each frame, of length 1.

    The shorter side is scaled to the model's (bicubic), and a square cut from the middle. UsageError for what is
    no CLIP.
    """
    model = _clip(folder, device)
    side = model.config.vision_config.image_size

    def embed(pictures: Pictures) -> Tensor:
        square = normalised(centred(scaled(pictures, side, "bicubic"), side), *_CLIP_COLOURS)
        return model.visual_projection(model.vision_model(pixel_values=square).pooler_output)

    return _in_parts(embed, frames, device)


@torch.inference_mode()
def clip_caption(caption: str, folder: str, device: str) -> Float32[np.ndarray, " width"]:
    """Return CLIP's embedding of a caption, of length 1; what the model has no room for is cut off.

    UsageError for what is no CLIP, or has another vocabulary.
    """
    model = _clip(folder, device)
    length = model.config.text_config.max_position_embeddings
    tokenizer = _tokenizer(folder, model.config.text_config.vocab_size)
    tokens = tokenizer([caption], truncation=True, max_length=length, return_tensors="pt").to(device)
    return _unit(model.text_projection(model.text_model(**tokens).pooler_output))[0]


@torch.inference_mode()
def dino_frames(frames: Frames, folder: str, device: str) -> Features:
    """Return DINO's embedding of each frame, its class token, of length 1.

    The shorter side is scaled to the model's (bilinear); the frame is shown whole. UsageError for what is no ViT.
    """
    model = _dino(folder, device)

    def embed(pictures: Pictures) -> Tensor:
        shown = normalised(scaled(pictures, model.config.image_size, "bilinear"), *IMAGENET)
        return model(pixel_values=shown, interpolate_pos_encoding=True).last_hidden_state[:, 0]

    return _in_parts(embed, frames, device)


def _in_parts(embed: Callable[[Pictures], Tensor], frames: Frames, device: str) -> Features:
    place = torch.device(device)
    parts = [embed(to_pictures(frames[k : k + _AT_ONCE], place)) for k in range(0, len(frames), _AT_ONCE)]
    return _unit(torch.cat(parts))


def _unit(rows: Tensor) -> Features:
    return normalize(rows.float(), dim=-1).cpu().numpy()


@lru_cache(maxsize=1)
def _clip(folder: str, device: str) -> Any:
    return whole_model("CLIPModel", folder, "weights.clip", "metrics").to(device)


@lru_cache(maxsize=1)
def _tokenizer(folder: str, words: int) -> Any:
    tokenizer = from_folder("CLIPTokenizer", folder, "weights.clip", "metrics")
    if len(tokenizer) != words:  # without files transformers makes up a vocabulary of two or three words
        raise UsageError(
            f"weights.clip: the tokenizer of {folder} has {len(tokenizer)} words, wanted the {words} of its model: "
            "give a folder with vocab.json and merges.txt"
        )
    return tokenizer


@lru_cache(maxsize=1)
def _dino(folder: str, device: str) -> Any:
    return whole_model("ViTModel", folder, "weights.dino", "metrics", add_pooling_layer=False).to(device)
