"""Folders of diffusers' models: found or downloaded, checked, and read into a network without a copy too many."""

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from equivdm.errors import UsageError

WEIGHTS = "diffusion_pytorch_model.safetensors"


def find_part(model: str, part: str) -> Path:
    """Return the folder of a part, such as "transformer", of a model.

    Args:
        model: a local folder, or a name on Hugging Face's hub, OWNER/NAME. Only a name that is no local path goes to
            the hub, which downloads what its cache lacks; with HF_HUB_OFFLINE=1 the cache must have it.
        part: its name.

    Raises:
        UsageError: for no such model, one without that part, or one of two networks (Wan 2.2).
    """
    root = Path(model) if Path(model).is_dir() else _downloaded(model, part)
    if not (root / part / "config.json").is_file() and not (root / part / "tokenizer_config.json").is_file():
        raise UsageError(f"model: {model} holds no {part}, wanted a folder that diffusers saved Wan 2.1 to: give one")
    index = root / "model_index.json"
    if index.is_file() and read_settings(index).get("boundary_ratio") is not None:
        raise UsageError(f"model: {model} is of two networks that take turns, wanted Wan 2.1 with one: give that")
    return root / part


def build_empty(folder: Path, names: Collection[str]) -> nn.Module:
    """Return the network that config.json describes, without memory for its weights.

    Raises UsageError where it is none of diffusers' classes `names`.
    """
    import diffusers

    config = read_settings(folder / "config.json")
    name = config.get("_class_name")
    if name not in names:
        raise UsageError(f"model: {folder} is a {name}, wanted {' or '.join(sorted(names))}: give a folder of Wan 2.1")
    build: Any = getattr(diffusers, str(name))
    with torch.device("meta"):
        return build.from_config(config)


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


def read_settings(file: Path) -> dict[str, Any]:
    """Return what a JSON file says. Raises UsageError where it is no table of settings."""
    try:
        said = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"model: {file} cannot be read ({_first_line(error)}): copy or download it again") from error
    if not isinstance(said, dict):
        raise UsageError(f"model: {file} holds a {type(said).__name__}, wanted a table of settings: copy it again")
    return said


def _place_rotary(network: nn.Module, device: torch.device | str) -> None:
    """Compute the tables of rotary angles, which no file holds."""
    rope: Any = getattr(network, "rope", None)
    if rope is not None:
        network.rope = type(rope)(rope.attention_head_dim, rope.patch_size, rope.max_seq_len).to(device)


def _downloaded(model: str, part: str) -> Path:
    hub = re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", model)
    if not hub or Path(model).parent.exists():
        raise UsageError(
            f"model: got {model}, which is no folder, wanted a folder or OWNER/NAME of the hub: check the path"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        return Path(snapshot_download(model, allow_patterns=["model_index.json", f"{part}/*"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise UsageError(
            f"model: {model} cannot be had from the hub ({_first_line(error)}): give a local folder, or check the name"
        ) from error


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
        raise UsageError(f"model: {file} is damaged ({_first_line(error)}): copy or download it again") from error


def _check_names(folder: Path, got: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    wrong = sorted(got.keys() ^ wanted.keys()) or [name for name in wanted if got[name].shape != wanted[name].shape]
    if wrong:
        raise UsageError(
            f"model: the weights of {folder} do not fit its config.json ({len(wrong)} tensors, {wrong[0]} first): "
            "copy or download both from one model"
        )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
