"""Videos that an evaluation reads and that were not made here: listed, and probed once, a row of `probes` each.

Rows are keyed by the file's version, so that an unchanged file is neither read nor hashed again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa

from equivdm.errors import ItemError, UsageError
from pipelines.batch import pending
from pipelines.config import EvaluateJob
from pipelines.evaluation.pairs import Film, place_of
from pipelines.identity import content_id, fingerprint
from pipelines.manifest import caption_of, manifest_keys, sandbox
from pipelines.probing import failed_probe, probe_videos
from pipelines.record import Draft
from pipelines.settings import SourceConfig
from pipelines.source_listing import TEXT
from pipelines.sources import VIDEOS, list_videos, source_file
from pipelines.states import SETTLED
from pipelines.steps import ITEM_FAULTS, NOBODY, settle
from pipelines.store import Store
from pipelines.tables import Row, Table
from pipelines.tally import Reporter

VERSION = 1
"""Raised when the same file would give another row."""

_LAYOUT = fingerprint({"stage": "probes", "version": VERSION})

LISTED = VIDEOS.append(pa.field("place", TEXT)).append(pa.field("key", pa.string()))
"""A source's videos, with how they are reached, and their keys in `probes`."""


@dataclass(frozen=True)
class Listing:
    """What the sources of an evaluation hold, as LISTED."""

    systems: Mapping[str, pa.Table]
    """By the system's name."""
    driving: pa.Table
    reference: pa.Table | None
    """None where the driving videos are the reference."""

    @property
    def every(self) -> pa.Table:
        """All of them; a file that serves twice is there twice."""
        return pa.concat_tables([*self.systems.values(), self.driving, *filter(None, [self.reference])])


def list_sources(job: EvaluateJob) -> Listing:
    """List the sources of a job. Raises UsageError where one cannot be listed, or holds no video that is wanted."""
    return Listing(
        systems={each.name: _listed(each, f"systems, {each.name}") for each in job.systems},
        driving=LISTED.empty_table() if job.driving is None else _listed(job.driving, "driving"),
        reference=None if job.reference is None else _listed(job.reference, "reference"),
    )


def _listed(source: SourceConfig, whose: str) -> pa.Table:
    try:
        videos = list_videos(source)
    except UsageError as error:
        raise UsageError(f"{whose}: {error}") from error
    place = pa.repeat(pa.scalar(place_of(source.root, source), TEXT), len(videos))
    return videos.append_column("place", place).append_column("key", manifest_keys(videos, _LAYOUT)).cast(LISTED)


def unknown_films(store: Store, listing: Listing, run: str = "") -> pa.Table:
    """Return the videos that are new, or have changed, or could not be probed; with `attempt` and `run`."""
    return pending(listing.every, store.table("probes").states(), run)


def probe_films(draft: Draft, store: Store, job: EvaluateJob, unknown: pa.Table, reporter: Reporter) -> None:
    """Probe videos on the cluster and commit their rows."""

    def lost(crash: ItemError, video: Row) -> Row:
        return _row(video, video["key"], failed_probe(crash, video["attempt"], job.work.max_attempts))

    probe_videos(draft, store.table("probes"), unknown, probe_film, job.work.probe, reporter, lost, job=job)


def probe_film(row: Row, job: EvaluateJob, table: Table, reporter: Reporter = NOBODY) -> Row:
    """Return the row of a video: its content, size, length and rate, or what keeps it from being probed."""
    identity, source = row["key"], SourceConfig.model_validate_json(row["place"])
    with reporter.stage("probe") as item:
        try:
            with source_file(source, row["source"]) as local:
                with open(local, "rb") as stream:
                    identity = content_id(stream)
                    item.bytes_in = stream.tell()
                info = sandbox(job.decode).probe(local)
            found: Row = {
                "outcome": "done",
                "caption": caption_of(row, source),
                "frames": len(info.timestamps),
                "height": info.display_height,
                "width": info.display_width,
                "fps": info.fps,
            }
        except ITEM_FAULTS as fault:
            found, item.outcome = failed_probe(fault, row["attempt"], job.work.max_attempts), "failed"
    settled = settle({**row, "outcome": found["outcome"]}, table, [_row(row, identity, found)])
    reporter.flush()
    return settled


def _row(video: Row, identity: str, found: Row) -> Row:
    named = {name: video[name] for name in ("key", "source", "path", "caption", "attempt", "run")}
    return {**named, "content": identity, **found}


class Probed(NamedTuple):
    """What is known of a video: that it is a film of this size and length, or what keeps it from being one."""

    film: Film
    path: str
    """As this evaluation lists it: the row may be of another root."""
    caption: str
    frames: int
    height: int
    width: int
    fps: float
    error: str
    """Class of the failure; none where there is none."""
    message: str
    final: bool
    passing: bool


def probed(store: Store, videos: Iterable[Row]) -> dict[str, Row]:
    """Return the rows of listed videos, by key; those that were never probed are missing."""
    table = store.table("probes")
    states = table.states()
    rows = table.rows(keys={video["key"] for video in videos})
    return {row["key"]: row for row in rows if states[row["key"]] == (row["outcome"], row["attempt"])}


def as_listed(video: Row, row: Row) -> Probed:
    """Return what is known of a listed video, given its row."""
    return Probed(
        film=Film(row["source"], row["content"], video["place"], checked=True),
        path=video["path"],
        caption=row["caption"] or "",
        frames=row["frames"] or 0,
        height=row["height"] or 0,
        width=row["width"] or 0,
        fps=row["fps"] or 0.0,
        error=row["error"] or "",
        message=row["message"] or "",
        final=row["outcome"] in SETTLED,
        passing=bool(row["passing"]),
    )
