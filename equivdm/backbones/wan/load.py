"""Wan 2.1 from and to diffusers' folders. `model` is a local folder, or OWNER/NAME of the hub (see `find_part`)."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from equivdm.backbones.deferred import materialise
from equivdm.backbones.wan.codec import WanCodec
from equivdm.backbones.wan.denoiser import NETWORK, WanDenoiser
from equivdm.backbones.wan.folder import build_empty, open_weights
from equivdm.backbones.wan.parts import TRANSFORMERS, find_part, read_settings
from equivdm.backbones.wan.shapes import WORDS
from equivdm.backbones.wan.text import WanText
from equivdm.errors import UsageError
from equivdm.networks.deferred import Reader, fill

Device = torch.device | str

Part = TypeVar("Part")


def open_denoiser(model: str, dtype: torch.dtype = torch.float32, words: int = WORDS) -> WanDenoiser:
    """Return the network of text to video, or of VACE, whichever the model has.

    Its weights are yet to be read (see `equivdm.backbones.deferred`). Raises UsageError where it is no Wan 2.1, or
    another kind of it.
    """
    wrap = partial(WanDenoiser, words=words)
    _, denoiser, readers = _open(find_part(model, "transformer"), TRANSFORMERS, wrap, dtype)
    denoiser.readers = {NETWORK + name: reader for name, reader in readers.items()}
    return denoiser


def load_denoiser(
    model: str, dtype: torch.dtype = torch.float32, device: Device = "cpu", words: int = WORDS
) -> WanDenoiser:
    """Return it with its weights."""
    return materialise(open_denoiser(model, dtype, words), device)


def load_codec(model: str, dtype: torch.dtype = torch.float32, device: Device = "cpu") -> WanCodec:
    """Return the autoencoder; float32 is what Wan's pipelines recommend for it.

    Raises UsageError where it is not Wan 2.1's.
    """
    network, codec, readers = _open(find_part(model, "vae"), ("AutoencoderKLWan",), WanCodec, dtype)
    fill(network, readers, device)
    return codec


def load_text(model: str, dtype: torch.dtype = torch.float32, device: Device = "cpu", words: int = WORDS) -> WanText:
    """Return tokenizer and text encoder. Needs transformers, and ftfy for prompts.

    Raises UsageError where they are not Wan's, or one of the two is not installed.
    """
    try:
        import ftfy  # noqa: F401  # or it would be missed at the first prompt only
        from transformers import AutoTokenizer, UMT5EncoderModel
    except ModuleNotFoundError as error:
        raise UsageError(f"model: {error.name} is not installed: pip install 'equivdm[wan]'") from error
    encoder, tokenizer = (find_part(model, part) for part in ("text_encoder", "tokenizer"))
    kind = read_settings(encoder / "config.json").get("model_type")
    if kind != "umt5":
        raise UsageError(f"model: {encoder} is a {kind}, wanted umt5: give the text encoder of Wan 2.1")
    try:
        # Any: the automatic class has no type of its own.
        network: Any = UMT5EncoderModel.from_pretrained(str(encoder), dtype=dtype, local_files_only=True)
        return WanText(AutoTokenizer.from_pretrained(str(tokenizer), local_files_only=True), network.to(device), words)
    except OSError as error:
        cause = str(error).partition("\n")[0]
        raise UsageError(f"model: {model} has no whole text encoder ({cause}): copy or download it again") from error


def save_pipeline(folder: str | Path, denoiser: WanDenoiser, codec: WanCodec, text: WanText, shift: float) -> None:
    """Write all parts as diffusers' `WanPipeline`, or `WanVACEPipeline`, loads them; `load_*` here do too.

    Args:
        folder: where to.
        denoiser: the network, which decides the pipeline.
        codec: the autoencoder.
        text: tokenizer and text encoder.
        shift: of the times, for the scheduler (diffusers' UniPC, arXiv 2302.04867); Wan's is 3 for 480 rows, 5 for 720.
    """
    from diffusers.pipelines.wan.pipeline_wan import WanPipeline
    from diffusers.pipelines.wan.pipeline_wan_vace import WanVACEPipeline
    from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

    pipeline: Any = WanVACEPipeline if denoiser.layers else WanPipeline
    pipeline(
        tokenizer=text.tokenizer,
        text_encoder=text.encoder,
        vae=codec.vae,
        scheduler=UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift),
        transformer=denoiser.network,
    ).save_pretrained(folder)


def _open(
    folder: Path, classes: tuple[str, ...], wrap: Callable[[nn.Module], Part], dtype: torch.dtype
) -> tuple[nn.Module, Part, dict[str, Reader]]:
    """Return a network without its weights, itself and as a part, and what reads them."""
    network = build_empty(folder, classes)
    try:
        part = wrap(network)  # before the weights are looked at
    except ValueError as error:
        raise UsageError(f"model: {folder}: {error}") from error
    return network, part, open_weights(network, folder, dtype)
