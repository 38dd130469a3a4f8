"""Reading a network's tensors without running what lies in the file."""

import pickle
import zipfile

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from equivdm.errors import UsageError
from equivdm.networks.weights import file_status


def load_state(path: str, under: str | None = None) -> dict[str, Tensor]:
    """Return a network's tensors by name: of a .safetensors, or of what torch.save wrote.

    They are mapped from the file wherever its format allows, so that memory is taken by what is looked at only: what
    shall outlast the file, or be changed, is to be copied. Code in a pickle is refused, not run.

    Args:
        path: of the file.
        under: key that the tensors of what torch.save wrote may lie under, beside things that are not read.

    Raises:
        UsageError: for no such file, or one that holds something else.
    """
    file_status(path)
    try:
        if path.endswith(".safetensors"):
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            f"weights: {path} cannot be read ({cause}): give a .safetensors or a .pth of tensors"
        ) from error
    if under is not None and isinstance(state, dict) and isinstance(state.get(under), dict):
        state = state[under]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UsageError(
            f"weights: {path} holds no plain table of tensors: give a state dict, not a checkpoint of more"
        )
    return state
