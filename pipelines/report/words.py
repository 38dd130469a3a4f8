"""A report's table and notes."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from equivdm.metrics import METRICS, SET_METRICS, Metric, SetMetric
from equivdm.metrics.bootstrap import Interval
from pipelines.evaluation.comparison import Comparison, Difference, known
from pipelines.evaluation.remarks import counted, remarks
from pipelines.report.material import Material, config_of
from pipelines.sources import matches


class Cell(NamedTuple):
    """A method's figure for a metric, in words; `difference` is from the baseline, paired over clips."""

    mean: str
    interval: str
    best: bool
    difference: str
    wins: str


class Line(NamedTuple):
    """A row of the summary table."""

    metric: Metric | SetMetric
    cells: Sequence[Cell | None]


def summary_table(found: Comparison) -> list[Line]:
    """The table of metrics and methods, with 95% intervals over clips."""
    names = [name for name in METRICS if any(name in means for means in found.means.values())]
    names += [name for name in SET_METRICS if any(name in sets for sets in found.scores.sets.values())]
    return [Line(known(name), _cells(name, found)) for name in names]


def _cells(metric: str, found: Comparison) -> list[Cell | None]:
    best, names = found.best(metric), found.scores.job.names
    if metric in SET_METRICS:
        values = {name: found.scores.sets[name].get(metric) for name in names}
        of = f"of a set of {counted(len(found.scores.set_clips[metric]), 'clip')}"
        return [
            None if value is None else Cell(f"{value:.4g}".replace("-", "−"), of, name == best, "", "")
            for name, value in values.items()
        ]
    return [_cell(metric, name, found, name == best) for name in names]


def _cell(metric: str, name: str, found: Comparison, best: bool) -> Cell | None:
    interval = found.means[name].get(metric)
    if interval is None:
        return None
    other, digits = found.differences.get(name, {}).get(metric), _digits(interval)
    return Cell(
        _number(interval.mean, digits),
        ", ".join(filter(None, [_ends(interval, digits), _count(interval, len(found.scores.pairs[name]))])),
        best,
        "" if other is None else _difference(other, digits),
        "" if other is None or other.wins < 0 else f"better on {other.wins} of {other.interval.count}",
    )


def _difference(other: Difference, digits: int) -> str:
    interval, digits = other.interval, min(digits, _digits(other.interval))
    ends = _ends(interval, digits, sign="+")
    return _number(interval.mean, digits, sign="+") + (f" ({ends})" if ends else "")


def _ends(interval: Interval, digits: int, sign: str = "-") -> str:
    if not interval.known:
        return ""
    return f"{_number(interval.low, digits, sign)} to {_number(interval.high, digits, sign)}"


def _count(interval: Interval, videos: int) -> str:
    return f"{interval.count} of {videos} videos" if interval.count < videos else ""


def _number(value: float, digits: int, sign: str = "-") -> str:
    return f"{value:{sign}.{digits}f}".replace("-", "−")


def _digits(interval: Interval) -> int:
    """As many digits after the point as the interval's width bears."""
    width = (interval.high - interval.low if interval.known else 0.0) or abs(interval.mean) / 100 or 1.0
    return min(5, max(0, 1 - math.floor(math.log10(width)))) if math.isfinite(width) else 2


def lead_of(material: Material) -> str:
    """The page's one sentence."""
    clips = counted(len(material.clips), "driving clip")
    if all(method.model for method in material.methods):
        models = counted(len(material.methods), "model")
        return f"Video rendered anew by {models} from the motion, conditions and captions of {clips}."
    return f"Generated video of {counted(len(material.methods), 'system')} beside {clips}."


def notes(material: Material) -> list[str]:
    """What a reader must know to judge the figures."""
    found, clips = material.found, material.clips.values()
    sizes = sorted({f"{pair.frames} frames of {pair.laid.size[0]}×{pair.laid.size[1]}" for pair in clips})
    sizes = sizes if len(sizes) <= 4 else [*sizes[:3], f"and {len(sizes) - 3} more sizes"]
    videos = len({pair.driven_by for pair in clips})
    judge = found.scores.job.flow
    return [
        f"Measured on {counted(len(clips), 'clip')} of {counted(videos, 'driving video')}, {', '.join(sizes)}.",
        *_seen_in_training(material),
        *(f"{remark[0].upper()}{remark[1:]}." for remark in remarks(found)),
        f"Intervals are 95%, by a bootstrap of {found.scores.job.bootstrap} resamplings over driving videos."
        f"{_seeds(material)}",
        *_compared(material),
        f"Motion is judged by {judge.kind}{f' ({judge.preset})' if judge.kind == 'dis' else ''}. Where that estimator "
        "also made the noise, the judge is not impartial; the driving flow is an estimate too.",
        *_of_store(material),
        "Seconds are of computing, added up over items, not of the clock.",
    ]


def failure_lines(found: Comparison) -> list[tuple[str, str, str]]:
    """Return what was not measured: video, what of it, reason. What fails for the same reason is one line."""
    lines: dict[tuple[str, str], list[str]] = {}
    for each in found.scores.failures:
        video = f"{each.name}/{each.path}" if each.path else f"{each.name}, as a set"
        lines.setdefault((video, f"{each.error}: {each.message}"), []).append(each.metric)
    return [(video, ", ".join(filter(None, what)) or "the whole video", why) for (video, why), what in lines.items()]


def _compared(material: Material) -> list[str]:
    found = material.found
    title = next(each.title for each in material.methods if each.name == found.scores.baseline)
    words = f"Δ is the difference from {title} on the clips that both have, with its interval."
    return [words] if any(found.differences.values()) else []


def _seeds(material: Material) -> str:
    seeds = sorted({config_of(model)["fit"]["seed"] for model in material.models})
    if not seeds:
        return " They hold nothing of the spread between seeds of a system."
    return (
        " They hold nothing of the spread between training seeds: each model was trained once (seed "
        f"{', '.join(map(str, seeds))})."
    )


def _of_store(material: Material) -> list[str]:
    parts = ", ".join(f"{number} {outcome}" for outcome, number in sorted(material.outcomes.items()))
    return [f"Clips in the store: {parts}."] if parts and material.models else []


def _seen_in_training(material: Material) -> list[str]:
    """Say plainly whether the clips shown were trained on, as far as it is known: of clips of the store."""
    if not material.models:
        return []
    selections = [config_of(model)["data"] for model in material.models]
    clips = [pair for pair in material.clips.values() if pair.motion]
    others = len(material.clips) - len(clips)
    lines = [f"Whether a model was trained on {counted(others, 'video')} of these is not known."] if others else []
    seen = [
        pair
        for pair in clips
        if any(matches(pair.driven_by, data.get("include", ("*",)), data.get("exclude", ())) for data in selections)
    ]
    if seen:
        said = f"{len(seen)} of these {counted(len(clips), 'clip')} {'was' if len(seen) == 1 else 'were'}"
        line = (
            f"{said} in the training set of at least one model: there the figures say how well it reproduces what it "
            "has seen, not how well it does on new video."
        )
        return [line, *lines]
    if clips:
        which = f"the {counted(len(clips), 'clip')} of the store" if others else "any of these videos"
        return [f"No model was trained on {which}.", *lines]
    return lines
