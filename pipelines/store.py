"""Where tables and files lie: a folder or an S3 prefix, through one filesystem interface (fsspec)."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import cast
from uuid import uuid4

import fsspec
import pyarrow.fs
from botocore.utils import parse_timestamp
from fsspec.implementations.local import LocalFileSystem

from equivdm.errors import UsageError
from pipelines.exclusive import create
from pipelines.patience import CLIENT_FAULTS
from pipelines.settings import AccessConfig, StoreConfig
from pipelines.tables import Table


@dataclass(frozen=True)
class Store:
    """A root that holds tables and files. It is small and picklable: workers get it as an argument."""

    root: str
    """As the filesystem wants it: an absolute folder, or `bucket/prefix`."""
    url: str
    """As Delta Lake wants it: the folder, or `s3://bucket/prefix`."""
    filesystem: fsspec.AbstractFileSystem
    _tables: dict[str, Table] = field(default_factory=dict, compare=False, repr=False)
    """Tables by name, each opened once: it remembers what it has read of its keys."""

    @property
    def is_local(self) -> bool:
        """Whether the root is a folder of this machine."""
        return isinstance(self.filesystem, LocalFileSystem)

    @property
    def arrow_filesystem(self) -> pyarrow.fs.FileSystem:
        """The same filesystem for pyarrow and Ray Train."""
        return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(self.filesystem))

    def path(self, *parts: str) -> str:
        """Join names below the root. Raises ValueError for a name that would leave it."""
        relative = PurePosixPath(*parts)
        if relative.is_absolute() or ".." in relative.parts:
            raise ValueError(f"path in the store: got {str(relative)!r}, wanted a relative path without '..'")
        return f"{self.root}/{relative}"

    def table(self, name: str) -> Table:
        """Open a table by the name of its schema; it comes into being with its first commit."""
        if name not in self._tables:
            self._tables[name] = Table(name, f"{self.url}/{name}", self.path(name), self.filesystem)
        return self._tables[name]

    def put(self, local: str, *parts: str) -> None:
        """Copy a local file into the store; readers see all of it or nothing."""
        target = self.path(*parts)
        self.filesystem.makedirs(os.path.dirname(target), exist_ok=True)
        if not self.is_local:  # an object appears whole
            self.filesystem.put_file(local, target)
            return
        partial = f"{target}.{uuid4().hex}.partial"
        self.filesystem.put_file(local, partial)
        os.replace(partial, target)

    @contextmanager
    def local_folder(self, *parts: str) -> Iterator[Path]:
        """Give a local folder with the objects below a prefix, for libraries that want one."""
        if self.is_local:
            yield Path(self.path(*parts))
            return
        with tempfile.TemporaryDirectory(prefix="equivdm-") as folder:
            self.filesystem.get(self.path(*parts), f"{folder}/copy", recursive=True)
            yield Path(folder) / "copy"

    @contextmanager
    def local_copy(self, *parts: str) -> Iterator[str]:
        """Give the path of a local file with the object's bytes, for libraries that want a path."""
        with local_file(self.filesystem, self.path(*parts)) as local:
            yield local


@contextmanager
def local_file(filesystem: fsspec.AbstractFileSystem, path: str) -> Iterator[str]:
    """Give a local path with the file's bytes: itself where it is local already, else a copy that goes away."""
    if isinstance(filesystem, LocalFileSystem):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="equivdm-") as folder:
        local = os.path.join(folder, "object" + Path(path).suffix)
        filesystem.get_file(path, local)
        yield local


def open_bytes(filesystem: fsspec.AbstractFileSystem, path: str) -> BufferedIOBase:
    """Open a file for reading as bytes."""
    return cast(BufferedIOBase, filesystem.open(path, "rb"))


STORE_FAULTS = (OSError, ImportError, ValueError, *CLIENT_FAULTS)
"""What a place that is absent, closed or out of reach raises."""


def open_url(url: str, access: AccessConfig | None = None) -> tuple[fsspec.AbstractFileSystem, str]:
    """Return the filesystem of a folder or an `s3://` URL, and the path in it without a trailing slash.

    `access` says how S3 is reached, where that is not by the usual AWS_* variables.
    """
    if "://" not in url:
        return LocalFileSystem(), os.path.abspath(os.path.expanduser(url))
    if url.startswith("s3://"):
        how = access or AccessConfig()
        variables = frozenset((name, value) for name, value in os.environ.items() if name.startswith("AWS_"))
        filesystem = _s3_filesystem(how.anonymous, how.endpoint_url, how.profile, how.region, variables)
        return filesystem, url.removeprefix("s3://").rstrip("/")
    filesystem, path = fsspec.core.url_to_fs(url)
    return filesystem, path.rstrip("/")


_PATIENCE: dict[str, object] = {
    "connect_timeout": 10,
    "read_timeout": 30,
    # `legacy`, which is botocore's default, gives up after five tries and knows fewer faults.
    "retries": {"mode": "standard", "max_attempts": 8},
}


@cache
def _s3_filesystem(
    anonymous: bool,
    endpoint_url: str | None,
    profile: str | None,
    region: str | None,
    variables: frozenset[tuple[str, str]],
) -> fsspec.AbstractFileSystem:
    """Open a client once per process: making one takes longer than most requests."""
    from aiobotocore.session import AioSession

    del variables  # the client reads them itself
    filesystem = fsspec.filesystem(
        "s3",
        anon=anonymous,
        endpoint_url=endpoint_url,
        profile=profile,
        client_kwargs={"region_name": region} if region else {},
        config_kwargs=_PATIENCE,
        # No listing cache: another run may be writing to the same prefix.
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    session = AioSession(profile=profile)
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_parse_time)
    filesystem.session = session
    return filesystem


def _parse_time(value: str) -> datetime:
    """Botocore's own parser tries many formats; over a listing's objects it takes longer than all the rest."""
    return datetime.fromisoformat(value) if str(value).endswith("Z") else parse_timestamp(value)


def open_folder(place: str) -> Store:
    """Open a folder or an `s3://` prefix that need not be there yet. Nothing is written."""
    filesystem, root = open_url(place)
    return Store(root, root if isinstance(filesystem, LocalFileSystem) else place.rstrip("/"), filesystem)


def open_store(config: StoreConfig) -> Store:
    """Open the store, and prove by small files that it can be written, and that a second writer of a file is refused.

    Raises UsageError where that is not so: better before a night of computing than after it.
    """
    store = writable_folder(config.root, "store.root")
    if why := _not_exclusive(store):
        raise UsageError(
            f"store.root: got {config.root!r}, where {why}; wanted a disk with hard links, or an S3 server that "
            "knows conditional writes (If-None-Match): without these two runs would lose what they commit"
        )
    return store


def writable_folder(place: str, setting: str) -> Store:
    """Open a folder or an `s3://` prefix, likewise; errors name the setting that gave it."""
    try:
        store = open_folder(place)
        if store.is_local:
            os.makedirs(store.root, exist_ok=True)
        probe = store.path(f".write-probe-{uuid4().hex}")
        store.filesystem.pipe_file(probe, b"equivdm")
        store.filesystem.rm_file(probe)
    except STORE_FAULTS as error:
        raise UsageError(
            f"{setting}: got {place!r}, which cannot be written ({error}); "
            "wanted a folder or an s3:// prefix that this user may write to"
        ) from error
    return store


def _not_exclusive(store: Store) -> str:
    """Say why commits are not safe here; nothing where a file that is there is refused to a second writer."""
    probe = store.path(f".write-probe-{uuid4().hex}")
    try:
        create(store.filesystem, probe, b"equivdm")
        create(store.filesystem, probe, b"equivdm")
    except FileExistsError:
        return ""
    except STORE_FAULTS as error:
        return f"no file can be made by one writer only ({error})"
    finally:
        with suppress(FileNotFoundError):
            store.filesystem.rm_file(probe)
    return "two writers can make the same file"
