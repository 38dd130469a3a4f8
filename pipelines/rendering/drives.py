"""Driving videos: what of each is known before any of it is rendered, a row of `drives` a video.

Rows are keyed by the file's version, so that an unchanged file is neither read nor hashed again.
"""

from collections.abc import Iterator

import pyarrow as pa

from equivdm.errors import ItemError
from pipelines.arrow import compute
from pipelines.batch import Items, pending
from pipelines.config import RenderJob
from pipelines.identity import content_id, fingerprint, item_keys
from pipelines.manifest import caption_of, content_of, manifest_keys, sandbox
from pipelines.probing import failed_probe, probe_videos
from pipelines.record import Draft
from pipelines.sources import source_file
from pipelines.states import is_settled
from pipelines.steps import ITEM_FAULTS, NOBODY, settle
from pipelines.store import Store
from pipelines.tables import Row, Table
from pipelines.tally import Reporter

VERSION = 1
"""Raised when the same file and settings would give another row."""

_BATCH = 20_000
"""Rows that are read at once."""


def survey_of(job: RenderJob) -> str:
    """Return the fingerprint of all that decides a drive's row."""
    assert job.source is not None
    beside = {"root": job.source.root, "flow": job.flow.kind == "file", "control": job.control.kind == "file"}
    return fingerprint({"stage": "drives", "version": VERSION, "shots": job.shots.model_dump(), **beside})


def unknown_drives(store: Store, job: RenderJob, videos: pa.Table, run: str = "") -> pa.Table:
    """Return the videos that are new, or have changed, or could not be probed; with `key`, `attempt` and `run`."""
    keyed = videos.append_column("key", manifest_keys(videos, survey_of(job)))
    return pending(keyed, store.table("drives").states(), run)


def update_drives(draft: Draft, store: Store, job: RenderJob, unknown: pa.Table, reporter: Reporter) -> None:
    """Probe videos on the cluster and commit their rows."""

    def lost(crash: ItemError, video: Row) -> Row:
        return _row(video, video["key"], failed_probe(crash, video["attempt"], job.work.max_attempts))

    probe_videos(draft, store.table("drives"), unknown, probe_drive, job.work.probe, reporter, lost, job=job)


def probe_drive(row: Row, job: RenderJob, table: Table, reporter: Reporter = NOBODY) -> Row:
    """Return the row of a video: its content, size, rate, and where its shots begin, or what keeps it from that."""
    assert job.source is not None
    identity = row["key"]
    with reporter.stage("probe") as item:
        try:
            with source_file(job.source, row["source"]) as local:
                with open(local, "rb") as stream:
                    identity = content_id(stream)
                    item.bytes_in = stream.tell()
                caption = caption_of(row, job.source)
                identity = content_of(identity, row["source"], job.source, job.flow, job.control)
                found = {"caption": caption, "outcome": "done", **_surveyed(local, job)}
        except ITEM_FAULTS as fault:
            found, item.outcome = failed_probe(fault, row["attempt"], job.work.max_attempts), "failed"
    settled = settle({**row, "outcome": found["outcome"]}, table, [_row(row, identity, found)])
    reporter.flush()
    return settled


def drive_items(store: Store, job: RenderJob, videos: pa.Table, own: str) -> Items:
    """Return an item per video, without looking at any.

    Each is keyed by the video's path and content, its caption, and the fingerprint `own`. One that the table does not
    know yet is pending, whatever becomes of it.
    """
    table, wanted = store.table("drives"), manifest_keys(videos, survey_of(job))
    states = table.states()

    def parts() -> Iterator[pa.Table]:
        for batch in table.batches(table.schema.names, _BATCH):
            found = batch.filter(compute.is_in(batch["key"], value_set=wanted))
            known = states.lookup(found["key"])
            found = found.append_column("final", is_settled(known["outcome"]))
            found = found.filter(compute.equal(found["attempt"], known["attempt"]))
            if job.prompt is not None:
                place = found.schema.get_field_index("caption")
                found = found.set_column(place, "caption", pa.repeat(job.prompt, len(found)))
            keys = item_keys(found.select(["content", "path", "caption"]), own)
            yield found.drop_columns(["key", "attempt", "outcome", "run"]).append_column("key", keys)

    unknown = wanted.filter(compute.is_null(states.lookup(wanted)["outcome"].combine_chunks()))
    return Items(pa.concat_arrays([unknown, *(part["key"].combine_chunks() for part in parts())]), parts)


def _surveyed(path: str, job: RenderJob) -> Row:
    survey = sandbox(job.decode).survey(path, job.shots)
    info, shots = survey.info, survey.shots
    return {
        "frames": len(info.timestamps),
        "height": info.display_height,
        "width": info.display_width,
        "fps": info.fps,
        # From one shot's first frame to the next one's, so that frames which fade are rendered too.
        "shots": [0, *(shot.start for shot in shots[1:])],
    }


def _row(video: Row, identity: str, found: Row) -> Row:
    named = {name: video[name] for name in ("key", "source", "path", "caption", "metadata", "attempt", "run")}
    return {**named, "content": identity, **found}
