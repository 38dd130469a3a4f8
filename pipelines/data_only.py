"""DeepSpeed's states read as data: they are pickles, and DeepSpeed asks to run whatever is in them."""

import os
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch.serialization

from equivdm.errors import UsageError

_FORCE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
"""Variable that every `torch.load` looks at: with it, `weights_only=False` counts for nothing."""


@contextmanager
def data_only() -> Iterator[None]:
    """Have every `torch.load` take tensors, plain values and three types of DeepSpeed's, whatever its caller asks for.

    That is what reads the file, so that none can be changed between a check and the reading, and none is read twice.
    What else a file names is not run: `torch.load` raises pickle.UnpicklingError.
    """
    from deepspeed.runtime.fp16.loss_scaler import LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    before = os.environ.get(_FORCE)
    os.environ[_FORCE] = "1"
    try:
        with torch.serialization.safe_globals([LossScaler, ZeroStageEnum, fragment_address]):
            yield
    finally:
        if before is None:
            del os.environ[_FORCE]
        else:
            os.environ[_FORCE] = before


@contextmanager
def naming(checkpoint: str) -> Iterator[None]:
    """Say in one line which checkpoint it was that held something else. Raises UsageError for UnpicklingError."""
    try:
        yield
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        got = f"a pickle that calls {named[1]}" if named else "a file that is no pickle of torch"
        raise UsageError(
            f"checkpoint {checkpoint}: got {got}, wanted tensors and plain values; none of it was run: find out who "
            "may write to the store; to begin anew, delete the folder that the checkpoint lies in"
        ) from error
