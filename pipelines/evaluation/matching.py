"""Which driving video a generated one belongs to, and whether the two can be laid on each other."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from equivdm.render_config import FrameConfig
from pipelines.config import EvaluateJob
from pipelines.evaluate_config import SystemConfig
from pipelines.evaluation.listing import Listing, Probed, as_listed, probed
from pipelines.evaluation.pairs import Laid, Misfit, Pair, clip_name, stem_of
from pipelines.identity import item_key
from pipelines.store import Store
from pipelines.tables import Row


@dataclass
class Matched:
    """What became of generated videos."""

    pairs: list[Pair] = field(default_factory=list)
    misfits: list[Misfit] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)
    """Keys of videos that are yet to be probed, without which more cannot be said."""
    missing: dict[str, int] = field(default_factory=dict)
    """Driving videos for which a system has none, by system."""


class _Unfit(Exception):
    """A generated video cannot be measured: class of the failure, and message."""

    def __init__(self, error: str, message: str, final: bool = True, passing: bool = False, probe: str = "") -> None:
        super().__init__(message)
        self.error, self.final, self.passing, self.probe = error, final, passing, probe


def match_systems(job: EvaluateJob, store: Store, listing: Listing) -> Matched:
    """Lay the systems' videos beside their driving videos, as far as these are known."""
    matched, known = Matched(), probed(store, listing.every.to_pylist())
    driving = _by_stem(listing.driving.to_pylist())
    reference = driving if listing.reference is None else _by_stem(listing.reference.to_pylist())
    for system in job.systems:
        used: set[str] = set()
        for video in listing.systems[system.name].to_pylist():
            _match(system, video, _Others(driving, reference, known), job, matched, used)
        matched.missing[system.name] = sum(len(each) for each in driving.values()) - len(used)
    return matched


@dataclass(frozen=True)
class _Others:
    """What a generated video is laid beside: listed videos by path without ending, and what is known of all."""

    driving: Mapping[str, list[Row]]
    reference: Mapping[str, list[Row]]
    known: Mapping[str, Row]

    def of(self, videos: Mapping[str, list[Row]], path: str, what: str, bare: bool = False) -> Row:
        """Return the one video of a path, of any ending; `bare` paths may have none, only a point in the name."""
        alike = videos.get(stem_of(path), [])
        exact = [video for video in alike if video["path"] == path] or (bare and videos.get(path)) or alike
        if len(exact) == 1:
            return exact[0]
        if not exact:
            raise _Unfit(
                "Unmatched",
                f"got no {what} video {stem_of(path)!r}, wanted one at the same path below its root: rename one of "
                "the two, or give a table with a column `driving`",
            )
        paths = " and ".join(video["path"] for video in exact)
        raise _Unfit("Unmatched", f"got several {what} videos, {paths}, wanted one: name it in a column `driving`")

    def reference_of(self, driving: Row) -> tuple[Row, str]:
        """Return the reference that belongs to a driving video, or this one itself and what keeps another away."""
        if self.reference is self.driving:
            return driving, ""
        try:
            return self.of(self.reference, driving["path"], "reference"), ""
        except _Unfit as unfit:
            return driving, str(unfit)


def _match(
    system: SystemConfig, video: Row, others: _Others, job: EvaluateJob, matched: Matched, used: set[str]
) -> None:
    try:
        named = _driving_path(video)
        driving = others.of(others.driving, named or video["path"], "driving", bare=named is not None)
        used.add(driving["path"])
        reference, lack = others.reference_of(driving)
        films = {"generated": video, "driving": driving, "reference": reference}
        if unknown := {film["key"] for film in films.values()} - others.known.keys():
            matched.unknown |= unknown
            return
        generated = _sound(video, others.known[video["key"]], "generated")
        pair = _pair(system, job, generated, _sound(driving, others.known[driving["key"]], "driving"))
        if reference is not driving:
            pair = _referred(pair, system, generated, as_listed(reference, others.known[reference["key"]]))
        matched.pairs.append(replace(pair, no_reference=lack) if lack else pair)
    except _Unfit as unfit:
        key = item_key("misfit", system.name, video["key"], str(unfit))
        matched.misfits.append(
            Misfit(system.name, video["path"], key, unfit.error, str(unfit), unfit.final, unfit.passing, unfit.probe)
        )


def _by_stem(videos: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for video in videos:
        found[stem_of(video["path"])].append(video)
    return dict(found)


def _driving_path(video: Row) -> str | None:
    """Return what column `driving` of the system's table says."""
    named = json.loads(video["metadata"]).get("driving") if video["metadata"] else None
    if isinstance(named, int):  # as a table of CSV has names that are numbers
        return str(named)
    if not (named is None or isinstance(named, str)):
        raise _Unfit("Unmatched", f"driving: got {named!r} in the table, wanted a path as text")
    return named


def _sound(film: Row, row: Row, what: str) -> Probed:
    video = as_listed(film, row)
    if video.error:
        message = video.message if what == "generated" else f"{what} video {video.path}: {video.message}"
        raise _Unfit(video.error, message, video.final, video.passing, film["key"])
    return video


def _referred(pair: Pair, system: SystemConfig, generated: Probed, reference: Probed) -> Pair:
    """Return a pair with a reference of its own, or with the reason why it has none: other metrics need none."""
    if reference.error:
        return replace(pair, no_reference=f"reference video {reference.path}: {reference.message}")
    try:
        _check_length(system, generated, reference, "reference")
    except _Unfit as unfit:
        return replace(pair, no_reference=str(unfit))
    laid = replace(pair.laid, display=(reference.height, reference.width))
    return replace(pair, reference=reference.film, laid_reference=laid)


def _pair(system: SystemConfig, job: EvaluateJob, generated: Probed, driving: Probed) -> Pair:
    frames = measured_frames(generated.frames, job)
    if system.frames is not None and generated.frames != system.frames:
        raise _Unfit(
            "WrongLength", f"got {generated.frames} frames, wanted {system.frames}, as the system's `frames` say"
        )
    _check_length(system, generated, driving, "driving")
    indices = tuple(range(system.start, system.start + frames * system.stride, system.stride))
    size = (generated.height, generated.width)
    frame = FrameConfig(height=size[0], width=size[1], rule=job.match.rule).model_dump_json()
    laid = Laid(size, (driving.height, driving.width), frame)
    return Pair(
        name=system.name,
        path=generated.path,
        clip=clip_name(driving.film.content, driving.path),
        driven_by=driving.path,
        caption=driving.caption,
        fps=driving.fps / system.stride,
        frames=frames,
        length=generated.frames,
        generated=generated.film,
        driving=driving.film,
        reference=driving.film,
        indices=indices,
        laid=laid,
        laid_reference=laid,
    )


def measured_frames(length: int, job: EvaluateJob) -> int:
    """Return how many frames of a video are measured."""
    return min(length, job.match.max_frames)


def _check_length(system: SystemConfig, generated: Probed, other: Probed, what: str) -> None:
    last = system.start + (generated.frames - 1) * system.stride
    if generated.frames < 2:
        raise _Unfit("WrongLength", f"got {generated.frames} frame, wanted at least 2: a picture has no motion")
    if last >= other.frames:
        raise _Unfit(
            "WrongLength",
            f"got {generated.frames} frames, the last of which belongs to frame {last} of the {what} video "
            f"{other.path}, which has {other.frames}: give the system's start and stride, or leave the video out",
        )
