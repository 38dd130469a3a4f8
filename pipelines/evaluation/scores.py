"""What an evaluation found: values by system, metric and clip, those of whole sets, and what could not be measured."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from equivdm.metrics import SET_METRICS, Features
from pipelines.config import EvaluateJob
from pipelines.evaluation.items import Evaluation
from pipelines.evaluation.pairs import Pair
from pipelines.evaluation.wanted import GENERATED, REFERENCE
from pipelines.schemas import from_tensor
from pipelines.tables import Table

Values = Mapping[str, Mapping[str, float]]
"""values[metric][clip]."""


@dataclass(frozen=True)
class Failure:
    """A video, or a metric of it, that could not be measured."""

    name: str
    path: str
    """Empty where it is of the whole set."""
    metric: str
    """Empty where the whole video could not be measured."""
    error: str
    message: str


@dataclass(frozen=True)
class Scores:
    """The figures of an evaluation."""

    job: EvaluateJob
    pairs: Mapping[str, Mapping[str, Pair]]
    """pairs[system][clip]: the videos that could be laid beside their driving video."""
    values: Mapping[str, Values]
    """By system. A video that could not be measured by a metric is missing there."""
    sets: Mapping[str, Mapping[str, float]]
    """sets[system][metric] of whole sets."""
    set_clips: Mapping[str, frozenset[str]]
    """Clips that the sets of a metric are of: those that all systems have."""
    failures: Sequence[Failure]
    pending: int
    """Values that are yet to be found, or to be tried again."""
    missing: Mapping[str, int]
    """Driving videos for which a system has none."""
    left_out: Mapping[str, str]
    """Metrics that could not be measured of any video, each with the reason."""
    seconds: Mapping[str, float]
    """Seconds of computing, by system."""

    @property
    def baseline(self) -> str:
        """What the others are compared with."""
        return self.job.baseline or self.job.names[0]

    @property
    def common(self) -> frozenset[str]:
        """Clips of which every system has a video that was measured by some metric."""
        each = [frozenset(clip for values in self.values[name].values() for clip in values) for name in self.job.names]
        return frozenset.intersection(*each)


def read_scores(found: Evaluation) -> Scores:
    """Read the figures of an evaluation from its tables."""
    rows = {row["key"]: row for row in _latest(found)}
    pairs: dict[str, dict[str, Pair]] = {name: {} for name in found.job.names}
    values: dict[str, dict[str, dict[str, float]]] = {name: defaultdict(dict) for name in found.job.names}
    seconds, failures, pending = dict.fromkeys(found.job.names, 0.0), list[Failure](), len(found.unknown)
    for pair, wanted in zip(found.pairs, found.wanted, strict=True):
        pairs[pair.name][pair.clip] = pair
        for each in wanted:
            row = rows.get(each.key)
            seconds[pair.name] += float(row["seconds"] or 0.0) if row else 0.0
            if row is None or row["outcome"] == "failed":
                pending += 1
            if row and row["outcome"] == "done" and not each.of:
                values[pair.name][each.name][pair.clip] = row["value"]
            elif row and row["error"]:
                failures.append(Failure(pair.name, pair.path, each.name, row["error"], row["message"]))
    failures += [Failure(each.name, each.path, "", each.error, each.message) for each in found.misfits]
    sets, set_clips, problems = _of_sets(found, pairs)
    return Scores(
        job=found.job,
        pairs=pairs,
        values=values,
        sets=sets,
        set_clips=set_clips,
        failures=[*failures, *problems],
        pending=pending,
        missing=found.missing,
        left_out=found.measures.left_out,
        seconds=seconds,
    )


def _latest(found: Evaluation) -> Iterator[dict]:
    columns = ("key", "value", "outcome", "attempt", "error", "message", "seconds")
    keys = [each.key for wanted in found.wanted for each in wanted]
    yield from sorted(found.table.rows(columns, keys), key=lambda row: row["attempt"])


def _of_sets(
    found: Evaluation, pairs: Mapping[str, Mapping[str, Pair]]
) -> tuple[dict[str, dict[str, float]], dict[str, frozenset[str]], list[Failure]]:
    """Compare each system's videos with their references, over the clips that all systems have features of.

    A system without any is left out. Returns values, clips, and what cannot be compared.
    """
    sets: dict[str, dict[str, float]] = {name: {} for name in pairs}
    clips, problems = dict[str, frozenset[str]](), list[Failure]()
    for metric in found.measures.set_names:
        files = {name: own for name, own in _feature_files(found, pairs, metric).items() if own}
        clips[metric] = frozenset.intersection(*map(frozenset, files.values())) if files else frozenset()
        for name, own in files.items():
            sides = ([own[clip][side] for clip in sorted(clips[metric])] for side in (0, 1))
            try:
                if not clips[metric]:
                    raise ValueError("got no clip that all systems have, wanted some: measure them on the same videos")
                parts = (_features(found.store.table("features"), each) for each in sides)
                sets[name][metric] = SET_METRICS[metric].compare(*parts)
            except ValueError as error:
                problems.append(Failure(name, "", metric, "ValueError", str(error)))
    return sets, clips, problems


def _feature_files(
    found: Evaluation, pairs: Mapping[str, Mapping[str, Pair]], metric: str
) -> dict[str, dict[str, list[str]]]:
    """Return the files of features, files[system][clip], of the generated video and of its reference."""
    table, kind = found.store.table("features"), SET_METRICS[metric].features
    files: dict[str, dict[str, list[str]]] = {name: {} for name in pairs}
    for name, own in pairs.items():
        keys = [
            found.measures.features_of(pair, kind, of).key for pair in own.values() for of in (GENERATED, REFERENCE)
        ]
        have = table.files_of(keys)
        both = zip(own, have[::2], have[1::2], strict=True)
        files[name] = {clip: [one, other] for clip, one, other in both if one and other}
    return files


def _features(table: Table, files: Sequence[str]) -> Iterator[Features]:
    """Read features a video at a time: sums over them never hold them all."""
    for file in files:
        (row,) = table.read_files([file], ["features"]).to_pylist()
        yield from_tensor(row["features"])
