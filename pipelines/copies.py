"""The latest copy of a remote source's video: the windows of one are decoded one after the other."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory

from fsspec.implementations.local import LocalFileSystem

from equivdm.errors import AbsentVideo
from pipelines.settings import SourceConfig
from pipelines.sources import open_source, source_file


@dataclass
class _Copy:
    """What this process holds. The folder goes with the process."""

    name: tuple[str, ...] = ()
    """Of the server, the object, and its version."""
    path: str = ""
    folder: TemporaryDirectory[str] | None = None


_latest = _Copy()


@contextmanager
def kept_source_file(config: SourceConfig, source: str) -> Iterator[str]:
    """Do as `source_file`, but keep a copy until another video, or another version of it, is asked for.

    Raises AbsentVideo where it is not there.
    """
    filesystem, _ = open_source(config)
    if isinstance(filesystem, LocalFileSystem):
        with source_file(config, source) as local:
            yield local
        return
    try:
        found = filesystem.info(source)
    except FileNotFoundError as error:
        raise AbsentVideo(f"{source} is not there: put it there, or take it out of source.manifest") from error
    name = (config.endpoint_url or "", source, str(found.get("ETag")), str(found.get("size")))
    if _latest.name != name:
        folder = tempfile.TemporaryDirectory(prefix="equivdm-")
        path = os.path.join(folder.name, "object" + os.path.splitext(source)[1])
        filesystem.get_file(source, path)
        if _latest.folder is not None:
            _latest.folder.cleanup()
        _latest.name, _latest.path, _latest.folder = name, path, folder
    yield _latest.path
