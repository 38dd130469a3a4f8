"""VideoCrafter2 of the least size: random weights in a file with the public names, and a tokenizer of few words."""

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from equivdm.config import VideoCrafter2Config
from equivdm.networks.videocrafter2.autoencoder import Autoencoder
from equivdm.networks.videocrafter2.checkpoint import AUTOENCODER, TEXT, UNET
from equivdm.networks.videocrafter2.sizes import AutoencoderSizes, TextSizes, UNetSizes
from equivdm.networks.videocrafter2.text import TextTower
from equivdm.networks.videocrafter2.unet import UNet
from tests.equivdm.networks.videocrafter2.cases import filled

UNET_SIZES = UNetSizes(width=32, factors=(1, 1), blocks=1, attending=1, head_width=16, text_width=24)
CODEC_SIZES = AutoencoderSizes(width=32, factors=(1, 1, 1, 1), blocks=1)

ENDS = ["<|startoftext|>", "<|endoftext|>"]
WORDS = ["cat</w>", "walks</w>", ",</w>", "&</w>", "do"]
PIECES = [*"!acdglotwksb", *(f"{letter}</w>" for letter in "acdglotwksb!")]
MERGES = ["c a", "ca t</w>", "w a", "wa l", "wal k", "walk s</w>", "d o"]
VOCABULARY = [*PIECES, "ca", "wa", "wal", "walk", *WORDS, *ENDS]

TEXT_SIZES = TextSizes(width=24, blocks=3, heads=2, words=12, vocabulary=len(VOCABULARY))


def write(folder: Path) -> VideoCrafter2Config:
    """Write checkpoint and tokenizer to a folder."""
    torch.save({"state_dict": tensors(), "global_step": 9}, folder / "model.ckpt")
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    (tokenizer / "vocab.json").write_text(json.dumps({piece: place for place, piece in enumerate(VOCABULARY)}))
    (tokenizer / "merges.txt").write_text("\n".join(["#version: 0.2", *MERGES]))
    return VideoCrafter2Config(
        weights=str(folder / "model.ckpt"),
        tokenizer=str(tokenizer),
        unet=UNET_SIZES,
        autoencoder=CODEC_SIZES,
        text=TEXT_SIZES,
    )


def tensors() -> dict[str, Tensor]:
    """All that the public file holds, of the least size: the last block of the text tower and its ends, too."""
    tower = filled(TextTower(TextSizes(**vars(TEXT_SIZES) | {"blocks": TEXT_SIZES.blocks + 1})))
    networks: dict[str, nn.Module] = {
        UNET: filled(UNet(UNET_SIZES)),
        AUTOENCODER: filled(Autoencoder(CODEC_SIZES)),
        TEXT: tower,
    }
    own = {prefix + name: each for prefix, network in networks.items() for name, each in network.state_dict().items()}
    ends = {TEXT + "text_projection": torch.zeros(24, 24), TEXT + "logit_scale": torch.zeros(())}
    return own | ends | {"scale_arr": torch.ones(1400)}
