"""The videos of a source and their windows: rows of the manifest before any of them is computed.

A manifest row is keyed by the file's version (path, size, time or ETag) and the layout of windows, so that an unchanged
file is neither read nor hashed again. What comes after is keyed by the file's content.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from functools import cache, partial
from pathlib import PurePosixPath
from typing import Any, cast

from equivdm.config import ClipConfig, DecodeConfig
from equivdm.errors import ItemError, UsageError
from equivdm.video.sandbox import Sandbox
from equivdm.video.windows import windows
from pipelines.batch import Row, items_alone
from pipelines.config import PreprocessJob, SourceConfig
from pipelines.identity import content_id, fingerprint, item_key
from pipelines.progress import progress
from pipelines.store import STORE_FAULTS, Store, local_file, open_bytes, open_url

VERSION = 1
"""Raised when the same file and layout would give other rows."""

SUFFIXES = frozenset([".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".gif"])
"""A file with another ending is not taken for a video."""

_COMMIT_ROWS = 256


@dataclass(frozen=True)
class VideoFile:
    """One file of the source, as its listing shows it."""

    source: str
    """Where it lies, as the source's filesystem wants it."""
    path: str
    """Below the source's root."""
    version: str
    """Size and time (or ETag) of the file and of its caption: changes when either does."""
    caption_file: str | None


def list_videos(config: SourceConfig) -> list[VideoFile]:
    """List the source's videos, sorted by path. Raises UsageError for a source that is absent or holds none."""
    filesystem, root = open_url(config.root)
    try:
        found = filesystem.find(root, detail=True)
    except STORE_FAULTS as error:
        raise UsageError(f"source.root: got {config.root!r}, which cannot be listed ({error})") from error
    if not found and not filesystem.exists(root):
        raise UsageError(
            f"source.root: got {config.root!r}, which does not exist; wanted a folder or an s3:// prefix with videos"
        )
    listing = cast(dict[str, dict[str, Any]], found)
    infos = {path: info for path, info in listing.items() if info["type"] == "file"}
    videos = []
    for source, info in sorted(infos.items()):
        path = source.removeprefix(root).lstrip("/") or PurePosixPath(source).name
        if PurePosixPath(path).suffix.lower() in SUFFIXES and matches(path, config.include, config.exclude):
            caption = str(PurePosixPath(source).with_suffix(".txt"))
            caption_file = caption if caption in infos else None
            stamps = [_stamp(info)] + ([_stamp(infos[caption])] if caption_file else [])
            videos.append(VideoFile(source, path, "/".join(stamps), caption_file))
    if not videos:
        raise UsageError(
            f"source.root: got {config.root!r}, which holds no video that matches include={list(config.include)} and "
            f"exclude={list(config.exclude)}; wanted files that end in {' '.join(sorted(SUFFIXES))}"
        )
    return videos


def matches(path: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Whether a path is taken: some pattern of include fits and none of exclude does. `*` also crosses `/`."""
    return any(fnmatchcase(path, p) for p in include) and not any(fnmatchcase(path, p) for p in exclude)


def layout_of(clip: ClipConfig) -> str:
    """Return the fingerprint of all that decides which windows a video has."""
    windows_config = clip.model_dump(include={"frames", "stride", "fps", "max_windows"})
    return fingerprint({"stage": "manifest", "version": VERSION, "clip": windows_config})


def manifest_key(video: VideoFile, layout: str) -> str:
    """Return the key of a file's version under a layout."""
    return item_key(video.source, video.version, layout)


def known_windows(store: Store, config: PreprocessJob, videos: Sequence[VideoFile]) -> list[Row]:
    """Return the manifest's rows of these videos, without looking at any video."""
    layout = layout_of(config.clip)
    return store.table("manifest").rows(keys=[manifest_key(video, layout) for video in videos])


def unknown_videos(store: Store, config: PreprocessJob, videos: Sequence[VideoFile]) -> list[VideoFile]:
    """Return the videos that are new, or have changed, or were never cut into this layout of windows."""
    layout, known = layout_of(config.clip), store.table("manifest").states()
    return [video for video in videos if manifest_key(video, layout) not in known]


def update_manifest(store: Store, config: PreprocessJob, videos: Sequence[VideoFile], run: str) -> None:
    """Probe videos on the cluster and commit their windows."""
    if not videos:
        return
    layout, table = layout_of(config.clip), store.table("manifest")
    names = [{**asdict(video), "key": manifest_key(video, layout)} for video in videos]
    probed = items_alone(names).map(
        partial(probe_video, root=config.source.root, clip=config.clip, decode=config.decode),
        num_cpus=config.work.cpus_per_task,
    )
    rows: list[Row] = []
    with progress("probe", len(videos)) as advance:
        for row in probed.iter_rows():
            rows += [{**window, "layout": layout, "run": run} for window in row["windows"]]
            advance(1)
            if len(rows) >= _COMMIT_ROWS:
                table.append(rows)
                rows = []
    table.append(rows)


def probe_video(row: Row, root: str, clip: ClipConfig, decode: DecodeConfig) -> Row:
    """Return a video's windows as manifest rows.

    A video that cannot be probed, or is too short for a window, gets one row with window -1: it is an item like any
    other, and `preprocess` gives it its outcome.
    """
    filesystem, _ = open_url(root)
    with open_bytes(filesystem, row["source"]) as stream:
        identity = content_id(stream)
    caption = ""
    if row["caption_file"]:
        caption = cast(bytes, filesystem.cat_file(row["caption_file"])).decode(errors="replace").strip()
    common = {
        "key": row["key"],
        "video": identity,
        "source": row["source"],
        "path": row["path"],
        "caption": caption,
    }
    with local_file(filesystem, row["source"]) as local:
        found = list(_windows_of(local, clip, decode))
    return {"windows": [{**common, **window} for window in found]}


def _windows_of(path: str, clip: ClipConfig, decode: DecodeConfig) -> Iterator[Row]:
    try:
        info = sandbox(decode).probe(path)
    except ItemError:
        yield {"window": -1, "indices": [], "fps": 0.0, "source_frames": -1}
        return
    found = windows(info.timestamps, info.fps, clip)
    for window in found:
        yield {
            "window": window.index,
            "indices": list(window.frames),
            "fps": window.fps,
            "source_frames": len(info.timestamps),
        }
    if not found:
        yield {"window": -1, "indices": [], "fps": info.fps, "source_frames": len(info.timestamps)}


def sandbox(limits: DecodeConfig) -> Sandbox:
    """Return this process's decoder child; it lives as long as the process."""
    return _child(limits.timeout_s, limits.memory_mib)


@cache
def _child(timeout_s: float, memory_mib: int) -> Sandbox:
    return Sandbox(DecodeConfig(timeout_s=timeout_s, memory_mib=memory_mib))


def _stamp(info: dict[str, Any]) -> str:
    return f"{info['size']}:{info.get('ETag') or info.get('mtime')}"
