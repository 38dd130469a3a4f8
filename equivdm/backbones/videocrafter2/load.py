"""The parts of a checkpoint as a backbone."""

from pathlib import Path

import torch

from equivdm.backbones.base import WEIGHTS
from equivdm.backbones.videocrafter2.codec import VideoCrafter2Codec
from equivdm.backbones.videocrafter2.denoiser import NETWORK, VideoCrafter2Denoiser
from equivdm.backbones.videocrafter2.text import VideoCrafter2Text
from equivdm.config import VideoCrafter2Config
from equivdm.errors import UsageError
from equivdm.networks.videocrafter2 import checkpoint

Device = torch.device | str


def load_codec(config: VideoCrafter2Config, device: Device = "cpu") -> VideoCrafter2Codec:
    """Return the codec, in float32. Raises UsageError where the checkpoint does not hold it."""
    return VideoCrafter2Codec(checkpoint.load_autoencoder(config.weights, config.autoencoder).to(device))


def open_denoiser(config: VideoCrafter2Config, exported: Path | None = None) -> VideoCrafter2Denoiser:
    """Return the network of the checkpoint, or one that `VideoCrafter2Denoiser.export` wrote to a folder.

    Its weights are yet to be read (see `equivdm.backbones.deferred`). Raises UsageError where they are not there, or
    of other sizes.
    """
    path = config.weights if exported is None else str(exported / WEIGHTS)
    network, readers = checkpoint.open_unet(path, config.unet)
    denoiser = VideoCrafter2Denoiser(network)
    denoiser.readers = {NETWORK + name: reader for name, reader in readers.items()}
    return denoiser


def load_text(
    config: VideoCrafter2Config, dtype: torch.dtype = torch.float32, device: Device = "cpu"
) -> VideoCrafter2Text:
    """Return tokenizer and text tower. Needs transformers and ftfy.

    Raises UsageError where the checkpoint or the tokenizer's folder does not hold them, or one of the two is not
    installed.
    """
    try:
        import ftfy  # noqa: F401  # or it would be missed at the first prompt only
        from transformers import CLIPTokenizer
    except ModuleNotFoundError as error:
        raise UsageError(f"tokenizer: {error.name} is not installed: pip install 'equivdm[videocrafter2]'") from error
    try:
        tokenizer = CLIPTokenizer.from_pretrained(config.tokenizer, local_files_only=True)
    except (OSError, ValueError) as error:
        cause = str(error).partition("\n")[0]
        raise UsageError(
            f"tokenizer: {config.tokenizer} holds no CLIP tokenizer ({cause}): "
            "give a folder with vocab.json and merges.txt"
        ) from error
    return VideoCrafter2Text(tokenizer, checkpoint.load_text(config.weights, config.text).to(device, dtype))
