"""An evaluation as files for other programs: JSON, and CSV that a table program opens."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from equivdm.metrics import METRICS, SET_METRICS
from equivdm.metrics.bootstrap import Interval
from pipelines.evaluation.comparison import Comparison, Difference, known
from pipelines.evaluation.remarks import failed_paths, remarks


def as_json(found: Comparison) -> str:
    """Return all figures but those of single clips."""
    scores = found.scores
    whole: dict[str, Any] = {
        "evaluation": scores.job.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "equivdm": version("equivdm"),
        "baseline": scores.baseline,
        "clips_in_common": len(scores.common),
        "clips_of_the_sets": {metric: len(clips) for metric, clips in scores.set_clips.items()},
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
        "failed": len(failed_paths(found).get(name, ())),
        "missing": found.scores.missing.get(name, 0),
        "means": {metric: _numbers(interval) for metric, interval in found.means[name].items()},
        "of_the_set": dict(found.scores.sets[name]),
        "less_baseline": {
            metric: {**_numbers(each.interval), **({"wins": each.wins} if each.wins >= 0 else {})}
            for metric, each in differences.items()
        },
    }


def _numbers(interval: Interval) -> dict[str, float | None]:
    return vars(interval) if interval.known else vars(interval) | {"low": None, "high": None}


def values_csv(found: Comparison) -> str:
    """Return a row per video and metric."""
    rows = [
        (name, pair.path, pair.driven_by, pair.window, metric, values[clip])
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
                rows.append((*about, *_numbers(interval).values(), *(_less(less) if less else [""] * 5)))
            elif metric in found.scores.sets[name]:
                rows.append(
                    (*about, found.scores.sets[name][metric], "", "", len(found.scores.set_clips[metric]), *[""] * 5)
                )
    return _csv(_SUMMARY, rows)


def _less(found: Difference) -> list[object]:
    return [*_numbers(found.interval).values(), found.wins if found.wins >= 0 else ""]


_SUMMARY = (
    *("system", "metric", "unit", "better", "mean", "low", "high", "clips"),
    *("less_baseline", "less_low", "less_high", "common_clips", "wins"),
)


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_text(each) for each in row] for row in rows)
    return sink.getvalue()


def _text(value: object) -> object:
    # A table program would run a name such as =cmd as a formula.
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value
