"""Wan of the least size and random weights."""

from functools import cache
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel, WanVACETransformer3DModel
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from equivdm.backbones.wan.codec import WanCodec
from equivdm.backbones.wan.denoiser import WanDenoiser
from equivdm.backbones.wan.text import WanText

FEATURES = 16
FRAMES, HEIGHT, WIDTH = 9, 32, 48
GRID = (3, 4, 6)
"""Of the latents of such a video."""

SIZES: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "text_dim": FEATURES,
    "freq_dim": 16,
    "ffn_dim": 32,
    "num_layers": 3,
    "rope_max_seq_len": 32,
}
VAE: dict[str, Any] = {"base_dim": 4, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1}


def denoiser(vace: bool = False, **changes: Any) -> WanDenoiser:
    torch.manual_seed(1)
    network = WanVACETransformer3DModel(vace_layers=[0, 2], **SIZES | changes) if vace else None
    return WanDenoiser(network or WanTransformer3DModel(**SIZES | changes)).eval()


def codec() -> WanCodec:
    torch.manual_seed(2)
    return WanCodec(AutoencoderKLWan(**VAE))


def text(words: int = 512) -> WanText:
    torch.manual_seed(3)
    config = UMT5Config(vocab_size=16, d_model=FEATURES, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    return WanText(_tokenizer(), UMT5EncoderModel(config), words)


def scheduler(shift: float) -> UniPCMultistepScheduler:
    """As Wan's folders have it."""
    return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift)


def _tokenizer() -> PreTrainedTokenizerFast:
    known = ["<pad>", "</s>", "<unk>", "a", "cat", "dog", "walks", "&", "runs", "blurred"]
    tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(known)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", padding_side="right"
    )


@cache
def noise(batch: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, 16, *GRID, generator=torch.Generator().manual_seed(seed))


@cache
def condition(batch: int = 1) -> torch.Tensor:
    """Bytes, as conditions are stored."""
    drawn = np.random.default_rng(0).integers(0, 256, (batch, FRAMES, HEIGHT, WIDTH), np.uint8)
    return torch.from_numpy(drawn)


@cache
def embeddings(batch: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, 512, FEATURES, generator=torch.Generator().manual_seed(100 + seed))
