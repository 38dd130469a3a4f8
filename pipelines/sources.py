"""What a preprocess job reads: the videos of a folder or an S3 prefix, found there or listed in a manifest.

Everything that opens a source does so here, so that it has the source's access (endpoint, anonymous, ...), workers too.
"""

import os
import posixpath
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from equivdm.control_files import find_control
from equivdm.errors import AbsentVideo, UsageError
from equivdm.flow.files import find_flow
from pipelines.arrow import compute
from pipelines.identity import fingerprint
from pipelines.settings import SourceConfig
from pipelines.source_listing import TEXT, below, files_below, files_named, holds_files, table_of
from pipelines.source_manifest import LISTED, read_manifest
from pipelines.store import STORE_FAULTS, local_file, open_url

SUFFIXES = frozenset([".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".gif"])
"""A file with another ending is not taken for a video, unless a manifest lists it."""

ABSENT = "absent"
"""Version of a video that the manifest lists and the source does not hold."""

VIDEOS = pa.schema(
    [
        ("source", TEXT),  # where it lies, as the source's filesystem wants it
        ("path", TEXT),  # below the source's root
        ("version", TEXT),  # changes when the video, its caption or its metadata does; or ABSENT
        ("caption_file", TEXT),  # NAME.txt beside it, where that is there and the manifest gives no caption
        ("caption", TEXT),  # of the manifest
        ("metadata", TEXT),  # of the manifest: a JSON object
    ]
)
"""The videos of a source; null where there is none. A version is `SIZE:MTIME_NS` or `SIZE:ETAG` of the video, then,
after `/`, that of the caption's file, and the hash of what the manifest says."""


def open_source(config: SourceConfig) -> tuple[fsspec.AbstractFileSystem, str]:
    """Return the source's filesystem, and its root in it without a trailing slash."""
    try:
        filesystem, root = open_url(config.root, config)
    except STORE_FAULTS as error:
        raise UsageError(f"source.root: got {config.root!r}, which cannot be opened ({error})") from error
    if not (isinstance(filesystem, LocalFileSystem) or config.root.startswith("s3://")):
        raise UsageError(f"source.root: got {config.root!r}, wanted a folder or an s3:// prefix")
    return filesystem, root


@contextmanager
def source_file(config: SourceConfig, source: str) -> Iterator[str]:
    """Give a local path with the bytes of a video (column `source`). Raises AbsentVideo where it is not there."""
    filesystem, _ = open_source(config)
    with ExitStack() as stack:
        try:
            local = stack.enter_context(local_file(filesystem, source))
            os.stat(local)
        except FileNotFoundError as error:
            raise AbsentVideo(f"{source} is not there: put it there, or take it out of source.manifest") from error
        yield local


@contextmanager
def flow_beside(config: SourceConfig, source: str) -> Iterator[Path]:
    """Give the local place of a video's motion vectors, NAME.flow/ or NAME.flow.npz. Raises BadFlow without any."""
    with _beside(config, source, (".flow", ".flow.npz")) as video:
        yield find_flow(video)


@contextmanager
def control_beside(config: SourceConfig, source: str) -> Iterator[Path]:
    """Give the local place of a video's condition, NAME.control/. Raises BadControl without one."""
    with _beside(config, source, (".control",)) as video:
        yield find_control(video)


@contextmanager
def _beside(config: SourceConfig, source: str, endings: Sequence[str]) -> Iterator[Path]:
    """Give a video's local path, beside which lies what of NAME with these endings there is; not the video itself."""
    filesystem, _ = open_source(config)
    if isinstance(filesystem, LocalFileSystem):
        yield Path(source)
        return
    with tempfile.TemporaryDirectory(prefix="equivdm-") as folder:
        stem = posixpath.splitext(source)[0]
        for place in (stem + ending for ending in endings):
            if filesystem.exists(place):
                filesystem.get(place, str(Path(folder, posixpath.basename(place))), recursive=True)
        yield Path(folder, posixpath.basename(source))


def list_videos(config: SourceConfig) -> pa.Table:
    """List the source's videos (VIDEOS), sorted by path.

    No video is opened. One that the manifest lists and that is not there has the version ABSENT: it is an item like any
    other, and fails as AbsentVideo where `source_file` wants it. Raises UsageError for a source that cannot be listed,
    does not exist, or holds no video that is wanted, and for whatever is wrong with the manifest.
    """
    filesystem, root = open_source(config)
    rows = None if config.manifest is None else _with_texts(_listed(config, config.manifest, root))
    try:
        if rows is None:
            root, rows, files = _found(filesystem, root, config)
        else:
            files = files_named(filesystem, root, _names(rows))
        exists = len(files) or holds_files(filesystem, root)
    except STORE_FAULTS as error:
        raise UsageError(f"source.root: got {config.root!r}, which cannot be listed ({error})") from error
    if not exists:
        raise UsageError(
            f"source.root: got {config.root!r}, which does not exist; wanted a folder or an s3:// prefix with videos"
        )
    if not len(rows):
        raise UsageError(_none_wanted(config))
    return _videos(root, rows, files)


def matches(path: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Whether a path is taken: some pattern of include fits and none of exclude does. `*` also crosses `/`."""
    return any(fnmatchcase(path, p) for p in include) and not any(fnmatchcase(path, p) for p in exclude)


def _none_wanted(config: SourceConfig) -> str:
    patterns = f"matches include={list(config.include)} and exclude={list(config.exclude)}"
    if config.manifest:
        return f"source.manifest: got {config.manifest!r}, which lists no video that {patterns}; change the patterns"
    endings = " ".join(sorted(SUFFIXES))
    return f"source.root: got {config.root!r}, which holds no video that {patterns}; wanted files that end in {endings}"


def _found(filesystem: fsspec.AbstractFileSystem, root: str, config: SourceConfig) -> tuple[str, pa.Table, pa.Table]:
    """Return the root, the videos that are wanted of it, and the files below it that may matter.

    Where the root is a file, that is the one video, and its folder is the root.
    """

    def is_video(path: str) -> bool:
        return posixpath.splitext(path)[1].lower() in SUFFIXES and matches(path, config.include, config.exclude)

    files = files_below(filesystem, root, lambda path: path.endswith(".txt") or is_video(path))
    folder, name = posixpath.split(root)
    if not len(files) and folder and is_video(name):
        files = files_named(filesystem, folder, _names(_rows([name])))
        root = folder if name in files["path"].to_pylist() else root
    rows = _rows(files["path"].filter(compute.invert(compute.ends_with(files["path"], ".txt"))))
    return root, rows, files


def _rows(paths: pa.ChunkedArray | list[str]) -> pa.Table:
    """Return videos as a manifest would that knows nothing but their paths."""
    nothing = pa.nulls(len(paths), TEXT)
    return _with_texts(pa.table([paths, nothing, nothing], schema=LISTED))


def _listed(config: SourceConfig, manifest: str, root: str) -> pa.Table:
    """Read the manifest's rows that are wanted; a name in it may begin with `root` as the source's own names do."""

    def is_wanted(path: str) -> bool:
        return matches(path, config.include, config.exclude)

    try:
        filesystem, place = open_url(manifest, config)
        with local_file(filesystem, place) as local:
            url = f"s3://{root}" if config.root.startswith("s3://") else root
            return read_manifest(local, manifest, url, is_wanted)
    except STORE_FAULTS as error:
        raise UsageError(f"source.manifest: got {manifest!r}, which cannot be read ({error})") from error


def _with_texts(rows: pa.Table) -> pa.Table:
    """Add a column `text`: the path that a video's caption would have, where the manifest gives none."""
    given = rows["caption"].is_valid()
    text = compute.replace_substring_regex(rows["path"], r"([^/])(\.[^./]*)?$", r"\1.txt", max_replacements=1)
    return rows.append_column("text", compute.if_else(given, None, text))


def _names(rows: pa.Table) -> pa.Array:
    """Return the paths of all files that the videos may have, sorted."""
    return pa.concat_arrays([*rows["path"].chunks, *rows["text"].chunks]).drop_null().sort()


def _videos(root: str, rows: pa.Table, files: pa.Table) -> pa.Table:
    stamps = {name: _stamps(rows[name], files) for name in ("path", "text")}
    base = pa.scalar(below(root), TEXT)
    nothing, there = pa.scalar("", TEXT), stamps["text"].is_valid()
    columns = {
        "source": compute.binary_join_element_wise(base, rows["path"], nothing),
        "path": rows["path"],
        "version": _versions(stamps["path"], stamps["text"], rows["caption"], rows["metadata"]),
        "caption_file": compute.if_else(there, compute.binary_join_element_wise(base, rows["text"], nothing), None),
        "caption": rows["caption"],
        "metadata": rows["metadata"],
    }
    return pa.table(columns, schema=VIDEOS)


def _stamps(paths: pa.ChunkedArray, files: pa.Table) -> pa.ChunkedArray:
    """Return the stamp of each path, null where there is no such file."""
    return files["stamp"].take(compute.index_in(paths, files["path"].combine_chunks(), skip_nulls=True))


def _versions(*columns: pa.ChunkedArray) -> pa.ChunkedArray:
    batches = pa.table(list(columns), ["video", "text", "caption", "metadata"]).to_batches(max_chunksize=1 << 14)
    rows = (row for batch in batches for row in zip(*(column.to_pylist() for column in batch.columns), strict=True))
    return table_of(((_version(*row),) for row in rows), pa.schema([("version", TEXT)]))["version"]


def _version(video: str | None, text: str | None, caption: str | None, metadata: str | None) -> str:
    if video is None:
        return ABSENT
    said = None if caption is None and metadata is None else fingerprint({"caption": caption, "metadata": metadata})
    return "/".join(part for part in (video, text, said) if part)
