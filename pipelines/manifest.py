"""The windows of a source's videos: rows of the manifest before any of them is computed.

A manifest row is keyed by the file's version (path, size, time or ETag) and the layout of windows, so that an unchanged
file is neither read nor hashed again. What comes after is keyed by the file's content.
"""

from collections.abc import Iterator
from functools import cache, partial
from typing import cast

import pyarrow as pa

from equivdm.config import ClipConfig, DecodeConfig
from equivdm.errors import AbsentVideo, ItemError
from equivdm.video.sandbox import Sandbox
from equivdm.video.windows import windows
from pipelines.batch import Row, items_alone
from pipelines.config import PreprocessJob, SourceConfig
from pipelines.identity import content_id, fingerprint, item_key
from pipelines.progress import progress
from pipelines.sources import ABSENT, open_source, source_file
from pipelines.store import Store

VERSION = 1
"""Raised when the same file and layout would give other rows."""

_COMMIT_ROWS = 256
_KEY_ROWS = 1 << 14
_NO_WINDOW = {"window": -1, "indices": [], "fps": 0.0, "source_frames": -1}


def layout_of(clip: ClipConfig) -> str:
    """Return the fingerprint of all that decides which windows a video has."""
    windows_config = clip.model_dump(include={"frames", "stride", "fps", "max_windows"})
    return fingerprint({"stage": "manifest", "version": VERSION, "clip": windows_config})


def manifest_keys(videos: pa.Table, layout: str) -> pa.Array:
    """Return the keys of the videos' versions under a layout, given their listing (`pipelines.sources.VIDEOS`)."""
    batches = videos.select(["source", "version"]).to_batches(max_chunksize=_KEY_ROWS)
    keys = [pa.array([item_key(*row.values(), layout) for row in batch.to_pylist()], pa.string()) for batch in batches]
    return pa.concat_arrays(keys) if keys else pa.array([], pa.string())


def known_windows(store: Store, config: PreprocessJob, videos: pa.Table) -> list[Row]:
    """Return the manifest's rows of these videos, without looking at any video."""
    keys = manifest_keys(videos, layout_of(config.clip))
    return store.table("manifest").rows(keys=keys.to_pylist())


def unknown_videos(store: Store, config: PreprocessJob, videos: pa.Table) -> pa.Table:
    """Return the videos that are new, or have changed, or were never cut into this layout of windows."""
    layout, known = layout_of(config.clip), store.table("manifest").states()
    return videos.filter(pa.array([key.as_py() not in known for key in manifest_keys(videos, layout)], pa.bool_()))


def update_manifest(store: Store, config: PreprocessJob, videos: pa.Table, run: str) -> None:
    """Probe videos on the cluster and commit their windows."""
    if not len(videos):
        return
    layout, table = layout_of(config.clip), store.table("manifest")
    names = videos.append_column("key", manifest_keys(videos, layout)).to_pylist()
    probed = items_alone(names).map(
        partial(probe_video, source=config.source, clip=config.clip, decode=config.decode),
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


def probe_video(row: Row, source: SourceConfig, clip: ClipConfig, decode: DecodeConfig) -> Row:
    """Return a video's windows as manifest rows.

    A video that is absent, cannot be probed, or is too short for a window gets one row with window -1: it is an item
    like any other, and `preprocess` gives it its outcome. One that has gone since the listing gets none: the next run
    lists it as absent, or no more.
    """
    try:
        with source_file(source, row["source"]) as local:
            with open(local, "rb") as stream:
                identity = content_id(stream)
            found = list(_windows_of(local, clip, decode))
    except AbsentVideo:
        # It has no content to be named by.
        identity = item_key(ABSENT, row["source"])
        found = [_NO_WINDOW] if row["version"] == ABSENT else []
    common = {
        "key": row["key"],
        "video": identity,
        "source": row["source"],
        "path": row["path"],
        "caption": _caption(row, source),
        "metadata": row["metadata"],
    }
    return {"windows": [{**common, **window} for window in found]}


def _caption(row: Row, source: SourceConfig) -> str:
    """The manifest's caption, else that of the file beside the video, else none."""
    if row["caption"] is not None or not row["caption_file"]:
        return row["caption"] or ""
    filesystem, _ = open_source(source)
    return cast(bytes, filesystem.cat_file(row["caption_file"])).decode(errors="replace").strip()


def _windows_of(path: str, clip: ClipConfig, decode: DecodeConfig) -> Iterator[Row]:
    try:
        info = sandbox(decode).probe(path)
    except ItemError:
        yield _NO_WINDOW
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
