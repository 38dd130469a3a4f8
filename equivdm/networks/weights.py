"""What names weights that lie as files. No torch: a job is planned without it."""

import hashlib
import os
from functools import lru_cache
from pathlib import Path

from equivdm.errors import UsageError

_READ_BY_TRANSFORMERS = ("*.json", "*.safetensors", "*.bin")
"""What `from_pretrained` reads of a model's folder; a changed README is no other model."""


def weights_digest(path: str) -> str:
    """Return the sha256 of a file of weights; of a model's folder, that of the names and sha256 of its files.

    A file is read again only where its size or time changed.

    Raises:
        UsageError: for no such file, or a folder without a model.
    """
    place = Path(path)
    if not place.is_dir():
        return _file_digest(path)
    files = sorted(file for pattern in _READ_BY_TRANSFORMERS for file in place.glob(pattern))
    if not files:
        raise UsageError(f"weights: got the folder {path}, which holds no model, wanted config.json and weights in it")
    lines = [f"{file.name} {_file_digest(str(file))}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _file_digest(path: str) -> str:
    status = file_status(path)
    return _digest_of(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _digest_of(path: str, size: int, changed_ns: int) -> str:
    del size, changed_ns  # they are the cache's key
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_status(path: str) -> os.stat_result:
    """Return size and time of a file of weights. Raises UsageError where it cannot be read."""
    try:
        return os.stat(path)
    except OSError as error:
        raise UsageError(f"weights: {path} cannot be read ({error.strerror}): give the path of a local file") from error
