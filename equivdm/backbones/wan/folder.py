"""Folders of diffusers' models: the network that one describes, and what reads its weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from equivdm.backbones.wan.parts import checked_class, first_line, read_settings
from equivdm.errors import UsageError
from equivdm.networks.deferred import Reader, as_readers

WEIGHTS = "diffusion_pytorch_model.safetensors"


def build_empty(folder: Path, names: tuple[str, ...]) -> nn.Module:
    """Return the network that config.json describes, without memory for its weights.

    Raises UsageError where it is none of diffusers' classes `names`.
    """
    import diffusers

    build: Any = getattr(diffusers, checked_class(folder, names))
    with torch.device("meta"):
        return build.from_config(read_settings(folder / "config.json"))


def open_weights(network: nn.Module, folder: Path, dtype: torch.dtype) -> dict[str, Reader]:
    """Return what reads the weights of a network of `build_empty`, which is told their precision.

    That is `dtype`, but for what diffusers keeps in float32. The network is ready but for them.

    Raises UsageError where the weights are missing, damaged, or those of another network.
    """
    kept = getattr(network, "_keep_in_fp32_modules", None) or ()
    state = {name: tensor for file in _weight_files(folder) for name, tensor in _tensors(file).items()}
    _check_names(folder, state, network.state_dict())
    for name, parameter in network.named_parameters():
        own = torch.float32 if any(part in name.split(".") for part in kept) else dtype
        parameter.data = parameter.data.to(own)
    _place_rotary(network)
    network.eval()
    return as_readers(state)


def _place_rotary(network: nn.Module) -> None:
    """Compute the tables of rotary angles, which no file holds."""
    rope: Any = getattr(network, "rope", None)
    if rope is not None:
        network.rope = type(rope)(rope.attention_head_dim, rope.patch_size, rope.max_seq_len)


def _weight_files(folder: Path) -> list[Path]:
    index = folder / f"{WEIGHTS}.index.json"
    names = set(read_settings(index).get("weight_map", {}).values()) if index.is_file() else {WEIGHTS}
    # A name is a file of this folder: an index comes from outside, and leads nowhere else.
    missing = [name for name in sorted(names) if Path(name).name != name or not (folder / name).is_file()]
    if missing or not names:
        raise UsageError(f"model: {folder} lacks {', '.join(missing) or 'weights'}: copy or download it whole")
    return [folder / name for name in sorted(names)]


def _tensors(file: Path) -> dict[str, Tensor]:
    """Return what a file holds, mapped from it."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except SafetensorError as error:
        raise UsageError(f"model: {file} is damaged ({first_line(error)}): copy or download it again") from error


def _check_names(folder: Path, got: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    wrong = sorted(got.keys() ^ wanted.keys()) or [name for name in wanted if got[name].shape != wanted[name].shape]
    if wrong:
        raise UsageError(
            f"model: the weights of {folder} do not fit its config.json ({len(wrong)} tensors, {wrong[0]} first): "
            "copy or download both from one model"
        )
