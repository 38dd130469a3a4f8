"""TorchScript modules from local files."""

import torch

from equivdm.errors import UsageError
from equivdm.networks.weights import file_status


def load_script(path: str, device: torch.device, setting: str, instead: str = "") -> torch.jit.ScriptModule:
    """Return the module of a file, to be evaluated.

    Args:
        path: of the file.
        device: where its tensors go.
        setting: name of the setting that gave the path, for errors.
        instead: what else could be given.

    Raises:
        UsageError: for no such file, or one that is no TorchScript.
    """
    file_status(path)
    try:
        return torch.jit.load(path, map_location=device).eval()
    except RuntimeError as error:
        cause = str(error).splitlines()[0]
        raise UsageError(f"{setting}: {path} is no TorchScript file ({cause}): give one{instead}") from error
