"""The videos of a source and their windows: rows of the manifest before any of them is computed.

A manifest row is keyed by the file's version (path, size, time or ETag) and the layout of windows, so that an unchanged
file is neither read nor hashed again. What comes after is keyed by the file's content.
"""

import os
from collections.abc import Iterator, Sequence
from functools import cache
from typing import cast

import pyarrow as pa

from equivdm.beside import files_digest
from equivdm.config import ControlConfig, DecodeConfig, FlowConfig
from equivdm.errors import ItemError
from equivdm.video.sandbox import Sandbox
from equivdm.video.windows import shortage, windows
from pipelines.arrow import compute
from pipelines.batch import Items, pending
from pipelines.config import PreprocessJob
from pipelines.identity import content_id, fingerprint, item_key, item_keys
from pipelines.probing import failed_probe, probe_videos
from pipelines.record import Draft
from pipelines.settings import SourceConfig
from pipelines.sources import control_beside, flow_beside, open_source, source_file
from pipelines.states import States, is_settled
from pipelines.steps import ITEM_FAULTS, NOBODY, settle
from pipelines.store import Store
from pipelines.tables import Row, Table
from pipelines.tally import Reporter

VERSION = 3
"""Raised when the same file and layout would give other rows."""

_BATCH = 250_000
"""Rows of the manifest that are read at once."""


def layout_of(job: PreprocessJob) -> str:
    """Return the fingerprint of all that decides which windows a video has."""
    parts = {"clip": job.clip.model_dump(mode="json"), "shots": job.shots.model_dump(), "flow": job.flow.kind == "file"}
    # Left out where there is none: manifests from before there were such conditions keep their names.
    beside = {"control": True} if job.control.kind == "file" else {}
    return fingerprint({"stage": "manifest", "version": VERSION, **parts, **beside})


def manifest_keys(videos: pa.Table, layout: str) -> pa.Array:
    """Return the keys of the videos' versions under a layout, given their listing (`pipelines.sources.VIDEOS`)."""
    named = videos.select(["source", "version"])
    parts = [named.slice(start, _BATCH) for start in range(0, len(named), _BATCH)]
    return pa.concat_arrays([item_keys(part, layout) for part in parts] or [pa.array([], pa.string())])


def unknown_videos(store: Store, job: PreprocessJob, videos: pa.Table, run: str = "") -> pa.Table:
    """Return the videos that are new, or have changed, or were never cut into this layout of windows, or failed to be.

    Their rows have the `key` that their windows will have in the manifest, `attempt` and `run`.
    """
    keyed = videos.append_column("key", manifest_keys(videos, layout_of(job)))
    return pending(keyed, store.table("manifest").states(), run)


def update_manifest(draft: Draft, store: Store, job: PreprocessJob, unknown: pa.Table, reporter: Reporter) -> None:
    """Probe videos on the cluster and commit their windows."""

    def lost(crash: ItemError, video: Row) -> Row:
        return _row(video, job, video["key"], _failed(crash, video, job))

    probe_videos(draft, store.table("manifest"), unknown, probe_video, job.work.probe, reporter, lost, job=job)


def window_items(store: Store, job: PreprocessJob, videos: pa.Table, own: str) -> Items:
    """Return a work item per window of these videos, without looking at any video.

    Each is keyed by the window's content and size, what is said of the video, and the fingerprint `own`. A video that
    the manifest does not know yet counts as one item, which is pending.
    """
    manifest, wanted = store.table("manifest"), manifest_keys(videos, layout_of(job))
    states = manifest.states()

    def parts(columns: Sequence[str]) -> Iterator[pa.Table]:
        for batch in manifest.batches(columns, _BATCH):
            found = _latest(batch.filter(compute.is_in(batch["key"], value_set=wanted)), states)
            yield found.drop_columns(["key"]).append_column("key", item_keys(found.select(_NAMES), own))

    unknown = wanted.filter(compute.is_null(states.lookup(wanted)["outcome"].combine_chunks()))
    keys = [part["key"].combine_chunks() for part in parts(("key", "attempt", "outcome", *_NAMES))]
    everything = [name for name in manifest.schema.names if name not in ("layout", "run")]
    return Items(pa.concat_arrays([unknown, *keys]), lambda: parts(everything))


def _latest(rows: pa.Table, states: States) -> pa.Table:
    """Drop what an earlier attempt said of a video; `final` says whether it will be probed again."""
    known = states.lookup(rows["key"])
    rows = rows.append_column("final", is_settled(known["outcome"])).filter(
        compute.equal(rows["attempt"], known["attempt"])
    )
    return rows.drop_columns(["attempt", "outcome"])


_NAMES = ("content", "frames", "height", "width", "caption")
"""What names a clip beside its settings."""


def probe_video(row: Row, job: PreprocessJob, table: Table, reporter: Reporter = NOBODY) -> Row:
    """Return a video's windows as rows of the manifest.

    A video that is absent, cannot be probed, or is too short for a window gets one row with window -1: it is an item
    like any other, and `preprocess` gives it its outcome. Where another attempt may help, the next run probes it again.
    """
    identity, caption = row["key"], row["caption"]  # what cannot be read has no content to be named by
    with reporter.stage("probe") as item:
        try:
            with source_file(job.source, row["source"]) as local:
                with open(local, "rb") as stream:
                    identity = content_id(stream)
                item.bytes_in = os.path.getsize(local)
                caption = caption_of(row, job.source)
                found = _windows_of(local, job, content_of(identity, row["source"], job.source, job.flow, job.control))
        except ITEM_FAULTS as fault:
            found, item.outcome = [_failed(fault, row, job)], "failed"
    windows = [{**_row(row, job, identity, window), "caption": caption} for window in found]
    return settle({**row, "outcome": windows[0]["outcome"]}, table, windows)


def _failed(fault: Exception, video: Row, job: PreprocessJob) -> Row:
    return {**_NO_WINDOW, **failed_probe(fault, video["attempt"], job.work.max_attempts)}


def caption_of(row: Row, source: SourceConfig) -> str:
    """Return the caption of the source's manifest, else that of the file beside the video, else none."""
    if row["caption"] is not None or not row["caption_file"]:
        return row["caption"] or ""
    filesystem, _ = open_source(source)
    return cast(bytes, filesystem.cat_file(row["caption_file"])).decode(errors="replace").strip()


_NO_WINDOW: Row = {"window": -1, "shot": -1, "indices": [], "fps": 0.0, "source_frames": -1}


def content_of(identity: str, video: str, source: SourceConfig, flow: FlowConfig, control: ControlConfig) -> str:
    """Return what names all that is read of a video: its bytes, and those of the files beside it that are read too."""
    if flow.kind == "file":
        with flow_beside(source, video) as place:
            identity = item_key(identity, files_digest(place))
    if control.kind == "file":
        with control_beside(source, video) as place:
            identity = item_key(identity, "control", files_digest(place))
    return identity


def _windows_of(path: str, job: PreprocessJob, content: str) -> list[Row]:
    survey = sandbox(job.decode).survey(path, job.shots)
    info, shots = survey.info, survey.shots
    display = (info.display_height, info.display_width)
    # Whether a video is too short for a window depends on the windows' lengths, not on where they start.
    lengths = job.clip.model_dump(include={"frames", "fps", "buckets"})
    common = {"source_frames": len(info.timestamps), "fps": info.fps, "content": item_key(content, lengths)}
    if short := shortage(info.timestamps, job.clip, shots, display):
        why = f"{short.frames} frames, wanted {short.wanted}"
        return [{**_NO_WINDOW, **common, "rule": short.rule, "message": why}]
    return [
        {
            **common,
            "content": item_key(content, window.frames),
            "window": window.index,
            "shot": window.shot,
            "indices": list(window.frames),
            "fps": window.fps,
            "frames": len(window.frames),
            "height": window.height,
            "width": window.width,
        }
        for window in windows(info.timestamps, info.fps, job.clip, shots, display)
    ]


def _row(video: Row, job: PreprocessJob, identity: str, window: Row) -> Row:
    return {
        "key": video["key"],
        "content": identity,
        "video": identity,
        **{name: video[name] for name in ("source", "path", "caption", "metadata", "run", "attempt")},
        "outcome": "done",
        **window,
        "layout": layout_of(job),
    }


def sandbox(limits: DecodeConfig) -> Sandbox:
    """Return this process's decoder child; it lives as long as the process."""
    return _child(limits.timeout_s, limits.memory_mib)


@cache
def _child(timeout_s: float, memory_mib: int) -> Sandbox:
    return Sandbox(DecodeConfig(timeout_s=timeout_s, memory_mib=memory_mib))
