"""What names weights that lie as files. No torch: a job is planned without it."""

import hashlib
import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from equivdm.errors import UsageError

_READ_BY_TRANSFORMERS = ("*.json", "*.safetensors", "*.bin", "*.model", "vocab.txt", "merges.txt")
"""What `from_pretrained` reads of a model's folder, a tokenizer's too; a changed README is no other model."""

LARGE = 64 * 2**20
"""Bytes of a file from which its digest is kept for later runs: tens of gigabytes take a minute to hash."""


def weights_digest(path: str) -> str:
    """Return the sha256 of a file of weights; of a model's folder, that of the names and sha256 of its files.

    A file is read again only where its size or time changed; what is known of large ones lies in the user's cache
    folder (XDG_CACHE_HOME), so that other runs know it too.

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
    note = _note(path, size, changed_ns)
    if size >= LARGE and note.is_file():
        return note.read_text()
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if size >= LARGE:
        with suppress(OSError):  # without a place to keep it the next run reads the file again
            _keep(note, digest)
    return digest


def _note(path: str, size: int, changed_ns: int) -> Path:
    """Where the digest of a file is kept, while it has this size and time."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = hashlib.sha256(f"{os.path.realpath(path)} {size} {changed_ns}".encode()).hexdigest()
    return cache / "equivdm" / "digests" / name


def _keep(note: Path, digest: str) -> None:
    note.parent.mkdir(parents=True, exist_ok=True)
    partial = note.with_suffix(f".{os.getpid()}")
    partial.write_text(digest)
    partial.replace(note)


def file_status(path: str) -> os.stat_result:
    """Return size and time of a file of weights. Raises UsageError where it cannot be read."""
    try:
        return os.stat(path)
    except OSError as error:
        raise UsageError(f"weights: {path} cannot be read ({error.strerror}): give the path of a local file") from error
