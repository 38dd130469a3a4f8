"""The items of a job on driving videos: shots and windows of long ones, and the videos, each with what its steps need.

What follows from a video's row of `drives` and the job is computed wherever it is needed; what tables know of an item
is added just before its steps.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, takewhile

from equivdm.backbones import backbone_of
from equivdm.spans import pieces_under
from pipelines.config import RenderJob
from pipelines.identity import item_key
from pipelines.models import ModelRecord
from pipelines.rendering.identity import lineage_of, motion_fingerprint, window_fingerprint
from pipelines.rendering.layout import Take, is_long, takes_of
from pipelines.rendering.motion import EVER, shot_key, strand_keys
from pipelines.store import Store
from pipelines.tables import Row


@dataclass(frozen=True)
class FilmItems:
    """A job on driving videos, with its store and model."""

    job: RenderJob
    store: Store
    model: ModelRecord

    def shots(self, drives: Sequence[Row]) -> list[Row]:
        """Return the shots of long videos, an item each."""
        return [
            _anew(drive, key=shot_key(drive["content"], take, self.motion), take=take.number)
            for drive, takes in self.long(drives)
            for take in takes
        ]

    def windows(self, drives: Sequence[Row]) -> list[Row]:
        """Return their windows, likewise."""
        return [
            _anew(drive, key=key, take=take.number, shot=take.number, span=number, start=span.start)
            for drive, takes in self.long(drives)
            for take in takes
            for number, (span, key) in enumerate(zip(take.spans, self.window_keys(drive, take), strict=True))
        ]

    def lacking(self, drives: Sequence[Row]) -> Counter[str]:
        """Count what is to be done for videos: how many items each step has, by its name."""
        shots, windows = self.shots(drives), self.windows(drives)
        states = {name: self.store.table(name).states() for name in ("shots", "spans")}
        ahead = {
            name: sum(row["key"] not in states[name] or states[name][row["key"]].outcome != "done" for row in rows)
            for name, rows in (("shots", shots), ("spans", windows))
        }
        short = len(drives) - len({row["path"] for row in windows})
        each = dict.fromkeys(("frames", "motion", "controls", "noises", "texts"), ahead["spans"] + short)
        return Counter(
            {**each, "shots": ahead["shots"], "sample": ahead["spans"], "paint": len(drives), "write": short}
        )

    def with_strands(self, shots: Sequence[Row]) -> list[Row]:
        """Add to shots the files of the strands that are there, from the first on; the last one ends the item."""
        keys = [strand_keys(shot["content"], self._takes(shot)[shot["take"]], self.motion) for shot in shots]
        found = self._files("strands", keys)
        return [
            {**shot, "have": list(takewhile(bool, files))[: len(files) - 1]}
            for shot, files in zip(shots, found, strict=True)
        ]

    def with_motion(self, windows: Sequence[Row]) -> list[Row]:
        """Add to windows the files of the strands that they need, or what keeps them from being there."""
        shots, wanted, known = [], [], dict[tuple[str, int], tuple[Take, list[str]]]()
        for window in windows:
            shot = (window["content"], window["take"])
            if shot not in known:
                take = self._takes(window)[window["take"]]
                known[shot] = take, strand_keys(window["content"], take, self.motion)
            take, keys = known[shot]
            under = pieces_under(take.spans[window["span"]], take.pieces)
            shots.append(shot_key(window["content"], take, self.motion))
            wanted.append([*(keys[number] for number in under), keys[-1]])
        failed = self._failures("shots", set(shots))
        found = zip(windows, shots, self._files("strands", wanted), strict=True)
        return [
            {**_SHORT, **window, "strands": files, "last_strand": last, **_unknown([*files, last], failed.get(shot))}
            for window, shot, (*files, last) in found
        ]

    def with_windows(self, drives: Sequence[Row]) -> list[Row]:
        """Add to videos what their rows say of the job, and to long ones what was sampled for them."""
        lineage = lineage_of(self.job, self.model)
        rows = [{**drive, **lineage, **_SHORT} for drive in drives]
        long = {drive["key"]: (drive, takes) for drive, takes in self.long(rows)}
        spans = [[key for take in takes for key in self.window_keys(row, take)] for row, takes in long.values()]
        pieces = [
            [key for take in takes for key in strand_keys(row["content"], take, self.motion)]
            for row, takes in long.values()
        ]
        failed = self._failures("spans", {key for keys in spans for key in keys})
        found = zip(long, spans, self._files("samples", spans), self._files("strands", pieces), strict=True)
        told = {
            video: _WHOLE
            | {"windows": len(keys), "samples": samples, "strands": strands, **_missing(keys, samples, failed)}
            for video, keys, samples, strands in found
        }
        return [row | told.get(row["key"], {}) for row in rows]

    def _files(self, table: str, keys: Sequence[Sequence[str]]) -> list[list[str | None]]:
        """Return the data file of each key of each list, None where there is none. The log is read once."""
        found = iter(self.store.table(table).files_of([key for each in keys for key in each]))
        return [list(islice(found, len(each))) for each in keys]

    def _failures(self, table: str, keys: Collection[str]) -> dict[str, Row]:
        """Return the latest failure of each shot, or window, that failed."""
        rows = self.store.table(table).rows(("key", "error", "message", "attempt", "final", "passing"), keys)
        return {row["key"]: row for row in sorted(rows, key=lambda row: row["attempt"]) if row["error"]}

    def long(self, drives: Iterable[Row]) -> Iterator[tuple[Row, tuple[Take, ...]]]:
        """Yield the videos of more than one window, each with its shots."""
        for drive in drives:
            if not drive["error"] and is_long(takes := self._takes(drive)):
                yield drive, takes

    def _takes(self, drive: Row) -> tuple[Take, ...]:
        return takes_of(drive, self.job, backbone_of(self.model.backbone).geometry)

    @cached_property
    def motion(self) -> str:
        """The fingerprint of all that decides the particles of a shot."""
        return motion_fingerprint(self.job, self.model)

    @cached_property
    def _window(self) -> str:
        return window_fingerprint(self.job, self.model)

    def window_keys(self, drive: Row, take: Take) -> list[str]:
        """Return the keys of a shot's windows."""
        shot = shot_key(drive["content"], take, self._window)
        return [item_key(shot, span.start, drive["caption"]) for span in take.spans]


_WHOLE: Row = {"whole": True, "take": None, "span": None}
"""Of a video whose windows were sampled before."""

_SHORT: Row = {
    "whole": False,
    "take": 0,
    "span": 0,
    "strands": [],
    "last_strand": None,
    "windows": 1,
    "samples": [],
}
"""Of a video that is one window."""


def _anew(drive: Row, **own: object) -> Row:
    """Return an item made of a video's: no number of attempts is too many for it."""
    common = {name: value for name, value in drive.items() if name not in ("attempt", "run")}
    return {**common, **own, "max_attempts": EVER}


def _unknown(files: Sequence[str | None], fault: Row | None) -> Row:
    """Return what keeps a window from being sampled; nothing where its strands are there."""
    if all(files):
        return {}
    return _blame("the motion of its shot is not known: ", fault, "it was not followed")


def _missing(keys: Sequence[str], files: Sequence[str | None], failed: Mapping[str, Row]) -> Row:
    """Return what keeps a long video from being whole; nothing where all its windows are there."""
    if all(files):
        return {}
    place = files.index(None)
    what = f"{files.count(None)} of {len(keys)} windows were not sampled; window {place + 1}: "
    return _blame(what, failed.get(keys[place]), "its worker died, or the run was stopped")


def _blame(what: str, fault: Row | None, otherwise: str) -> Row:
    """Return the columns of an item that cannot be worked on, for the reason that a part of it had."""
    known = fault or {"error": "ItemError", "message": otherwise}
    return {
        "error": known["error"],
        "message": what + known["message"],
        "final": bool(known.get("final")),
        "passing": bool(known.get("passing")),
    }
