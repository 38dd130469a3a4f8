"""A file that one of two writers makes: what commits stand on, on a disk and on S3."""

import os
from contextlib import suppress
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem


def create(filesystem: fsspec.AbstractFileSystem, path: str, data: bytes) -> None:
    """Write a file that is not there; readers see all of it or nothing. Raises FileExistsError where it is there.

    Where a client of S3 asks again, since the answer was lost, that is raised for a file of one's own, too.
    """
    if isinstance(filesystem, LocalFileSystem):
        _on_disk(filesystem, path, data)
    else:
        _on_s3(filesystem, path, data)


def _on_disk(filesystem: fsspec.AbstractFileSystem, path: str, data: bytes) -> None:
    partial = f"{path}.{uuid4().hex}.partial"
    filesystem.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        filesystem.pipe_file(partial, data)
        os.link(partial, path)
    finally:
        with suppress(FileNotFoundError):
            os.remove(partial)


def _on_s3(filesystem: fsspec.AbstractFileSystem, path: str, data: bytes) -> None:
    try:
        filesystem.pipe_file(path, data, mode="create")
    except OSError as error:
        answer = getattr(error.__cause__, "response", {}).get("Error", {}).get("Code")
        if answer == "ConditionalRequestConflict":  # of two at the same moment S3 refuses one so
            raise FileExistsError(path) from error
        raise
