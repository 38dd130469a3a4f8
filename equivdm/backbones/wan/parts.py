"""The parts of diffusers' folders, and what names them. No torch: a job is planned without it."""

import json
import re
from pathlib import Path
from typing import Any

from equivdm.errors import UsageError
from equivdm.networks.weights import weights_digest

TRANSFORMERS = ("WanTransformer3DModel", "WanVACETransformer3DModel")
"""Diffusers' classes of text to video and of VACE."""


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


def part_digest(model: str, part: str) -> str:
    """Return what names a part by its files' content, wherever it lies. Raises UsageError as `find_part` does."""
    return weights_digest(str(find_part(model, part)))


def is_vace(model: str) -> bool:
    """Whether a model is VACE, which is shown a video. Raises UsageError where it is no Wan 2.1."""
    return checked_class(find_part(model, "transformer"), TRANSFORMERS) == TRANSFORMERS[1]


def checked_class(folder: Path, names: tuple[str, ...]) -> str:
    """Return diffusers' class of the network in a folder. Raises UsageError where it is none of `names`."""
    name = read_settings(folder / "config.json").get("_class_name")
    if name not in names:
        raise UsageError(f"model: {folder} is a {name}, wanted {' or '.join(sorted(names))}: give a folder of Wan 2.1")
    return str(name)


def read_settings(file: Path) -> dict[str, Any]:
    """Return what a JSON file says. Raises UsageError where it is no table of settings."""
    try:
        said = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"model: {file} cannot be read ({first_line(error)}): copy or download it again") from error
    if not isinstance(said, dict):
        raise UsageError(f"model: {file} holds a {type(said).__name__}, wanted a table of settings: copy it again")
    return said


def first_line(error: Exception) -> str:
    """Return the first line of an error's words."""
    return str(error).partition("\n")[0] or type(error).__name__


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
            f"model: {model} cannot be had from the hub ({first_line(error)}): give a local folder, or check the name"
        ) from error
