"""The items of an evaluation: a value of a video each, or a video that cannot be measured, or that is yet to be probed.

The values that are missing of one video are found together: they share its frames and its motion.
"""

import pickle
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, count

import pyarrow as pa

from equivdm.errors import UsageError
from pipelines.batch import Items
from pipelines.clips import MOTION_COLUMNS, locate
from pipelines.config import EvaluateJob
from pipelines.evaluation.listing import Listing, list_sources
from pipelines.evaluation.matching import match_systems
from pipelines.evaluation.pairs import Misfit, Pair
from pipelines.evaluation.rendered import rendered_pairs
from pipelines.evaluation.wanted import Measures, Wanted
from pipelines.identity import item_key
from pipelines.store import Store
from pipelines.tables import Row, Table


@dataclass(frozen=True)
class Evaluation:
    """A job with its store, and all that is known of what it measures."""

    job: EvaluateJob
    store: Store
    pairs: Sequence[Pair] = field(repr=False)
    """By name in the job's order, then by path."""
    misfits: Sequence[Misfit]
    unknown: frozenset[str]
    """Keys of videos that are yet to be probed."""
    missing: dict[str, int]
    """Driving videos for which a system has none, by system."""

    @cached_property
    def measures(self) -> Measures:
        """What is measured."""
        return Measures(self.job, self.pairs)

    @property
    def table(self) -> Table:
        """Where each item ends as a row."""
        return self.store.table("metrics")

    @cached_property
    def wanted(self) -> list[list[Wanted]]:
        """What is wanted of each pair."""
        return [self.measures.wanted_of(pair) for pair in self.pairs]

    def items(self) -> Items:
        """Return the items. Copies of one video, with one driving video, share theirs."""
        rows = [
            {"key": wanted.key, "name": wanted.name, "pair": number, "misfit": None, "networks": wanted.networks}
            for number, each in enumerate(self.wanted)
            for wanted in each
        ]
        rows += [
            {"key": misfit.key, "name": None, "pair": None, "misfit": number, "networks": False}
            for number, misfit in enumerate(self.misfits)
        ]
        table = pa.Table.from_pylist(rows, schema=_ITEMS)
        keys = pa.concat_arrays([pa.array(sorted(self.unknown), pa.string()), table["key"].combine_chunks()])
        return Items(keys, lambda: [table] if len(table) else [])

    def prepare(self, wave: Sequence[Row]) -> list[Row]:
        """Gather the missing values of each video into one row, with what its steps need."""
        by_pair: dict[int, dict[str, Row]] = defaultdict(dict)
        for row in wave:
            if row["pair"] is not None:
                by_pair[row["pair"]][row["key"]] = row
        rows = [self._misfit(row) for row in wave if row["misfit"] is not None]
        pairs = [self.pairs[number] for number in by_pair]
        clips = [dict(pair.motion) for pair in pairs if pair.motion]
        files = iter(locate(self.store, clips, MOTION_COLUMNS))
        for pair, found in zip(pairs, by_pair.values(), strict=True):
            rows.append(self._of_pair(pair, found, next(files) if pair.motion else {}))
        return rows

    def _of_pair(self, pair: Pair, found: dict[str, Row], files: dict[str, str]) -> Row:
        number = next(iter(found.values()))["pair"]
        wanted = [each for each in self.wanted[number] if each.key in found]
        first = found[wanted[0].key]
        return {
            **{"key": first["key"], "attempt": first["attempt"], "run": first["run"]},
            **{
                "name": pair.name,
                "path": f"{pair.name}/{pair.path}",
                "clip": pair.clip,
                "video": pair.video,
                "length": pair.frames,
            },
            "max_attempts": self.job.work.max_attempts,
            "pair": pickle.dumps(replace(pair, motion=files)),
            "wanted": [
                {"key": each.key, "metric": each.name, "of": each.of, "networks": each.networks}
                | {"attempt": found[each.key]["attempt"]}
                for each in {each.key: each for each in wanted}.values()
            ],
        }

    def _misfit(self, row: Row) -> Row:
        misfit = self.misfits[row["misfit"]]
        own = {name: row[name] for name in ("key", "attempt", "run")}
        own |= {"name": misfit.name, "path": f"{misfit.name}/{misfit.path}"}
        told = {"error": misfit.error, "message": misfit.message, "passing": misfit.passing}
        tried = row["attempt"] >= self.job.work.max_attempts and not misfit.passing
        outcome = "quarantined" if misfit.final or tried else "failed"
        return {
            **own,
            "path": f"{misfit.name}/{misfit.path}",
            "max_attempts": self.job.work.max_attempts,
            **told,
            "outcome": outcome,
        }


_ITEMS = pa.schema(
    [
        ("key", pa.string()),
        ("name", pa.string()),
        ("pair", pa.int32()),
        ("misfit", pa.int32()),
        ("networks", pa.bool_()),
    ]
)


def evaluation_of(job: EvaluateJob, store: Store, listing: Listing | None = None) -> Evaluation:
    """Return what a job measures, as the store knows it; `listing` spares listing the sources again.

    Raises UsageError for a set without a finished video, a source that cannot be listed, an unknown metric, and where
    nothing can be measured of what is asked for.
    """
    pairs, misfits = rendered_pairs(job, store)
    matched = match_systems(job, store, list_sources(job) if listing is None else listing)
    found = Evaluation(
        job=job,
        store=store,
        pairs=_told_apart(sorted([*pairs, *matched.pairs], key=lambda pair: (job.names.index(pair.name), pair.path))),
        misfits=[*misfits, *matched.misfits],
        unknown=frozenset(matched.unknown),
        missing=matched.missing,
    )
    measures = found.measures
    measures.check()
    if found.pairs and not (found.unknown or measures.names or measures.set_names):
        raise UsageError(f"metrics: got none that can be measured: {'; '.join(measures.left_out.values())}")
    return found


def _told_apart(pairs: Sequence[Pair]) -> list[Pair]:
    """Give videos of one system and one driving video clips of their own.

    They are of copies of it in two folders, or several of the same, which are numbered by their paths' order.
    """
    seen: set[tuple[str, str]] = set()
    found = []
    for pair in pairs:
        others = (item_key(pair.clip, pair.driven_by, *number) for number in chain([()], zip(count(2))))
        clip = next(clip for clip in chain([pair.clip], others) if (pair.name, clip) not in seen)
        seen.add((pair.name, clip))
        found.append(replace(pair, clip=clip))
    return found
