"""Sets of videos that were rendered in this store, clips or whole videos, beside what drove them."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import pyarrow as pa

from equivdm.backbones import backbone_of
from equivdm.errors import UsageError
from pipelines.arrow import compute
from pipelines.clips import finished_clips
from pipelines.config import EvaluateJob, RenderJob
from pipelines.evaluation.matching import measured_frames
from pipelines.evaluation.pairs import Film, Laid, Misfit, Pair, clip_name, place_of
from pipelines.identity import item_key
from pipelines.models import find_model
from pipelines.store import Store
from pipelines.tables import Row

_COLUMNS = (
    *("key", "name", "clip", "path", "content", "caption", "model", "config", "outcome", "created", "metrics"),
    *("file", "sha256", "fps", "frames", "height", "width"),
)


def rendered_pairs(job: EvaluateJob, store: Store) -> tuple[list[Pair], list[Misfit]]:
    """Return the videos of the job's sets, each with what drove it. Raises UsageError for a set without a video."""
    rows = [row for row in store.table("videos").rows(_COLUMNS) if row["outcome"] == "done"]
    names = {row["name"] for row in rows}
    for name in job.renders:
        if name not in names:
            raise UsageError(f"renders: got {name!r}, wanted one of {sorted(names)} in {store.url}; run render first")
    newest = _newest([row for row in rows if row["name"] in job.renders])
    found = [
        *_of_clips([row for row in newest if row["clip"]], job, store),
        *_of_films([row for row in newest if not row["clip"]], job, store),
    ]
    order = {name: place for place, name in enumerate(job.renders)}
    pairs = sorted((each for each in found if isinstance(each, Pair)), key=lambda pair: order[pair.name])
    return pairs, [each for each in found if isinstance(each, Misfit)]


def _newest(rows: Sequence[Row]) -> list[Row]:
    # A set that was rendered again with another model or seed holds both; the newest is what its name means now.
    newest: dict[tuple[str | None, ...], Row] = {}
    for row in sorted(rows, key=lambda row: row["created"]):
        newest[row["name"], row["clip"], row["content"], row["path"]] = row
    return sorted(newest.values(), key=lambda row: row["key"])


# Clips


def _of_clips(videos: Sequence[Row], job: EvaluateJob, store: Store) -> Iterator[Pair | Misfit]:
    clips = {clip["key"]: clip for clip in finished_clips(store, {video["clip"] for video in videos})}
    for video in videos:
        clip = clips.get(video["clip"])
        if clip is None:
            yield _misfit(video, f"the clip {video['clip'][:12]} that drove it is gone from the store: render it again")
        elif video["frames"] != clip["frames"]:
            yield _wrong_length(video, f"{clip['frames']} of its clip")
        else:
            yield _clip_pair(video, clip, job)


def _clip_pair(video: Row, clip: Row, job: EvaluateJob) -> Pair:
    source, size = clip["source"], (video["height"], video["width"])
    place = place_of(source if source.startswith("/") else f"s3://{source}", job.source)
    driving = Film(source, clip["video"], place, checked=True)
    frames = measured_frames(video["frames"], job)
    return _pair(
        video,
        driving,
        Laid(size),
        tuple(clip["indices"][:frames]),
        clip=video["clip"],
        caption=clip["caption"] or "",
        motion={stage: clip[stage] for stage in ("motion", "plans") if clip[stage]},
        window=clip["window"],
    )


# Whole videos


def _of_films(videos: Sequence[Row], job: EvaluateJob, store: Store) -> Iterator[Pair | Misfit]:
    drives = _drives(store, {video["content"] for video in videos})
    multiple = cache(lambda model: _multiple(store, model))
    for video in videos:
        drive = drives.get((video["content"], video["path"]))
        step = multiple(video["model"])
        if drive is None or step is None:
            what = "its driving video" if drive is None else "the model that made it"
            yield _misfit(video, f"{what} is not known to the store any more: render it again")
        elif video["frames"] != drive["frames"]:
            yield _wrong_length(video, f"{drive['frames']} of its driving video")
        else:
            yield _film_pair(video, drive, step, job)


def _drives(store: Store, contents: set[str]) -> Mapping[tuple[str, str], Row]:
    """Return what is known of driving videos, by content and path."""
    columns = ("content", "source", "path", "frames", "height", "width", "error")
    table = store.table("drives").read(columns)
    rows = table.filter(compute.is_in(table["content"], value_set=pa.array(sorted(contents), pa.string()))).to_pylist()
    return {(row["content"], row["path"]): row for row in rows if not row["error"]}


def _multiple(store: Store, model: str) -> int | None:
    record = find_model(store, model)
    return None if record is None else backbone_of(record.backbone).multiple


def _film_pair(video: Row, drive: Row, multiple: int, job: EvaluateJob) -> Pair:
    made_by = RenderJob.model_validate_json(video["config"])
    assert made_by.source is not None
    # With files beside the video its content names these too, and is no hash of the video alone.
    alone = made_by.flow.kind != "file" and made_by.control.kind != "file"
    driving = Film(drive["source"], video["content"], place_of(made_by.source.root, made_by.source), checked=alone)
    size, display = (video["height"], video["width"]), (drive["height"], drive["width"])
    laid = Laid(size, display, made_by.frame.model_dump_json(), multiple)
    return _pair(
        video,
        driving,
        laid,
        tuple(range(measured_frames(video["frames"], job))),
        clip=clip_name(video["content"], video["path"]),
        caption=video["caption"] or "",
    )


def _pair(video: Row, driving: Film, laid: Laid, indices: tuple[int, ...], **own: Any) -> Pair:
    """Return a rendered video beside its driving one, which is what it should look like, too."""
    return Pair(
        name=video["name"],
        path=video["path"],
        driven_by=video["path"],
        fps=video["fps"],
        frames=len(indices),
        length=video["frames"],
        generated=Film(video["file"], video["sha256"], checked=True),
        driving=driving,
        reference=driving,
        indices=indices,
        laid=laid,
        laid_reference=laid,
        sampling={each["metric"]: each["value"] for each in video["metrics"] or []},
        video=video["key"],
        **own,
    )


def _wrong_length(video: Row, wanted: str) -> Misfit:
    return _misfit(video, f"got {video['frames']} frames, wanted the {wanted}: render it again", "WrongLength")


def _misfit(video: Row, message: str, error: str = "Unmatched") -> Misfit:
    return Misfit(video["name"], video["path"], item_key("misfit", video["key"], message), error, message, True)
