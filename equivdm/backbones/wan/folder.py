"""Folders of diffusers' models, read into a network without a copy too many."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from equivdm.backbones.wan.parts import checked_class, first_line, read_settings
from equivdm.errors import UsageError

WEIGHTS = "diffusion_pytorch_model.safetensors"


def build_empty(folder: Path, names: tuple[str, ...]) -> nn.Module:
    """Return the network that config.json describes, without memory for its weights.

    Raises UsageError where it is none of diffusers' classes `names`.
    """
    import diffusers

    build: Any = getattr(diffusers, checked_class(folder, names))
    with torch.device("meta"):
        return build.from_config(read_settings(folder / "config.json"))


def fill(network: nn.Module, folder: Path, dtype: torch.dtype, device: torch.device | str) -> None:
    """Give a network of `build_empty` its weights, in `dtype` but for what diffusers keeps in float32.

    Raises UsageError where the weights are missing, damaged, or those of another network.
    """
    kept = getattr(network, "_keep_in_fp32_modules", None) or ()
    state: dict[str, Tensor] = {}
    for file in _weight_files(folder):
        for name, tensor in _tensors(file).items():
            own = torch.float32 if any(part in name.split(".") for part in kept) else dtype
            # A copy: what is only mapped from the file would change, or fault, with it.
            state[name] = tensor.to(device, own, copy=True)
    _check_names(folder, state, network.state_dict())
    network.load_state_dict(state, assign=True)
    _place_rotary(network, device)
    network.eval()


def _place_rotary(network: nn.Module, device: torch.device | str) -> None:
    """Compute the tables of rotary angles, which no file holds."""
    rope: Any = getattr(network, "rope", None)
    if rope is not None:
        network.rope = type(rope)(rope.attention_head_dim, rope.patch_size, rope.max_seq_len).to(device)


def _weight_files(folder: Path) -> list[Path]:
    index = folder / f"{WEIGHTS}.index.json"
    names = set(read_settings(index).get("weight_map", {}).values()) if index.is_file() else {WEIGHTS}
    # A name is a file of this folder: an index comes from outside, and leads nowhere else.
    missing = [name for name in sorted(names) if Path(name).name != name or not (folder / name).is_file()]
    if missing or not names:
        raise UsageError(f"model: {folder} lacks {', '.join(missing) or 'weights'}: copy or download it whole")
    return [folder / name for name in sorted(names)]


def _tensors(file: Path) -> dict[str, Tensor]:
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
