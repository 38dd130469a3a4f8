"""An evaluation in words and as files for other programs: JSON, and CSV that a table program opens."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from equivdm.metrics import METRICS, SET_METRICS
from pipelines.evaluation.comparison import Comparison, Difference, known


def remarks(found: Comparison) -> list[str]:
    """Return what must be known beside the figures: which clips they are of, what is missing, what was left out."""
    scores = found.scores
    total, common = len({clip for own in scores.pairs.values() for clip in own}), len(scores.common)
    systems = len(scores.job.names)
    lines = [f"{counted(total, 'clip')}, of which {common} measured of {'both' if systems == 2 else f'all {systems}'}"]
    lines = lines if systems > 1 else []
    failed = Counter({name: len(paths) for name, paths in _failed(found).items()})
    for name in scores.job.names:
        parts = [
            f"{failed[name]} failed" if failed[name] else "",
            f"{scores.missing[name]} driving videos without one" if scores.missing.get(name) else "",
        ]
        if any(parts):
            lines.append(f"of {name}: {counted(len(scores.pairs[name]), 'video')}, {', '.join(filter(None, parts))}")
    if scores.pending:
        lines.append(f"{counted(scores.pending, 'value')} not found yet: run evaluate again")
    return [*lines, *_lengths(found), *(f"left out: {why}" for why in scores.left_out.values()), *_of_sets(found)]


def _failed(found: Comparison) -> dict[str, set[str]]:
    """Return the paths of the videos of which something failed, by system."""
    paths: dict[str, set[str]] = {}
    for failure in found.scores.failures:
        if failure.path:
            paths.setdefault(failure.name, set()).add(failure.path)
    return paths


def _lengths(found: Comparison) -> list[str]:
    scores, lines = found.scores, []
    lengths = {name: {pair.length for pair in own.values()} for name, own in scores.pairs.items() if own}
    if len(set().union(*lengths.values())) > 1 if lengths else False:
        said = ", ".join(f"{name} {_span(own)}" for name, own in lengths.items())
        lines.append(f"videos differ in length, in frames: {said}; what grows with the length is not comparable")
    cut = sum(pair.frames < pair.length for own in scores.pairs.values() for pair in own.values())
    if cut:
        most = scores.job.match.max_frames
        lines.append(f"{counted(cut, 'video')} longer than match.max_frames: their first {most} frames are measured")
    return lines


def _of_sets(found: Comparison) -> list[str]:
    failures = (failure for failure in found.scores.failures if not failure.path)
    return [f"of {failure.name}: {failure.metric} cannot be measured: {failure.message}" for failure in failures]


def _span(numbers: Iterable[int]) -> str:
    least, most = min(numbers), max(numbers)
    return str(least) if least == most else f"{least} to {most}"


def as_json(found: Comparison) -> str:
    """Return all figures but those of single clips."""
    scores = found.scores
    whole: dict[str, Any] = {
        "evaluation": scores.job.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "equivdm": version("equivdm"),
        "baseline": scores.baseline,
        "clips_in_common": len(scores.common),
        "systems": {name: _system(found, name) for name in scores.job.names},
        "left_out": dict(scores.left_out),
        "remarks": remarks(found),
        "failures": [vars(failure) for failure in scores.failures],
        "settings": scores.job.model_dump(mode="json"),
    }
    return json.dumps(whole, indent=2) + "\n"


def _system(found: Comparison, name: str) -> dict[str, Any]:
    differences = found.differences.get(name, {})
    return {
        "videos": len(found.scores.pairs[name]),
        "failed": len(_failed(found).get(name, ())),
        "missing": found.scores.missing.get(name, 0),
        "means": {metric: vars(interval) for metric, interval in found.means[name].items()},
        "of_the_set": dict(found.scores.sets[name]),
        "less_baseline": {
            metric: {**vars(each.interval), **({"wins": each.wins} if each.wins >= 0 else {})}
            for metric, each in differences.items()
        },
    }


def values_csv(found: Comparison) -> str:
    """Return a row per video and metric."""
    rows = [
        (name, pair.path, pair.driven_by, pair.window, metric, repr(values[clip]))
        for name, by_metric in found.scores.values.items()
        for metric, values in by_metric.items()
        for clip in sorted(values, key=lambda clip: (found.scores.pairs[name][clip].path, clip))
        for pair in [found.scores.pairs[name][clip]]
    ]
    return _csv(("system", "path", "driving", "window", "metric", "value"), rows)


def summary_csv(found: Comparison) -> str:
    """Return a row per system and metric: mean, interval, and the difference from the baseline."""
    rows: list[Sequence[object]] = []
    for name in found.scores.job.names:
        for metric in [*METRICS, *SET_METRICS]:
            about = name, metric, known(metric).unit, known(metric).better
            if interval := found.means[name].get(metric):
                less = found.differences.get(name, {}).get(metric)
                rows.append((*about, *vars(interval).values(), *(_less(less) if less else [""] * 5)))
            elif metric in found.scores.sets[name]:
                rows.append((*about, found.scores.sets[name][metric], *[""] * 8))
    return _csv(_SUMMARY, rows)


def _less(found: Difference) -> list[object]:
    return [*vars(found.interval).values(), found.wins if found.wins >= 0 else ""]


_SUMMARY = (
    *("system", "metric", "unit", "better", "mean", "low", "high", "clips"),
    *("less_baseline", "less_low", "less_high", "common_clips", "wins"),
)


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return sink.getvalue()


def counted(number: int, noun: str) -> str:
    """`1 clip`, `2 clips`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
