"""What a report shows, read from the tables and put into words."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from equivdm.errors import UsageError
from equivdm.metrics import METRICS, Metric
from equivdm.metrics.bootstrap import Interval, mean_interval, paired_interval
from pipelines.config import EvaluateJob
from pipelines.evaluate import inputs
from pipelines.models import ModelRecord, find_model
from pipelines.sources import matches
from pipelines.store import Store
from pipelines.tables import Row

CLIP_COLUMNS = ("key", "path", "window", "source", "indices", "fps", "caption", "frames", "height", "width", "outcome")


@dataclass(frozen=True)
class Method:
    """One set of videos and the model behind it."""

    name: str
    title: str
    detail: str
    colour: int
    """Number of the method's colour in the page's palette."""
    model: ModelRecord
    videos: Mapping[str, Row]
    """The finished videos by key of the driving clip."""
    values: Mapping[str, Mapping[str, float]]
    """values[metric][key of the clip]."""


@dataclass(frozen=True)
class Material:
    """All that a page needs, but the pictures."""

    methods: Sequence[Method]
    models: Sequence[ModelRecord]
    """Every model that took part, teachers too, in the order they were made."""
    clips: Sequence[Row]
    """The driving clips of the videos, by path and window."""
    seconds: Mapping[str, float]
    """Seconds of computing by stage."""
    outcomes: Mapping[str, int]
    """How the clips of the store ended."""


class Cell(NamedTuple):
    """A method's figure for a metric, in words; `difference` is from the baseline, paired over clips."""

    mean: str
    interval: str
    best: bool
    difference: str


class Line(NamedTuple):
    """A row of the summary table."""

    metric: Metric
    cells: Sequence[Cell | None]


def read_material(job: EvaluateJob, store: Store) -> Material:
    """Read the tables. Raises UsageError where a set of videos is missing."""
    table, items = inputs(job, store)
    measured = [row for row in table.rows(keys=items.keys) if row["outcome"] == "done"]
    videos = store.table("videos").rows(keys={video for part in items.batches() for video in part["video"].to_pylist()})
    methods = [_method(store, number, name, videos, measured) for number, name in enumerate(job.renders)]
    clips = store.table("clips").rows(CLIP_COLUMNS, {video["clip"] for video in videos})
    models = _with_teachers(store, [method.model for method in methods])
    return Material(
        methods=_told_apart(methods),
        models=models,
        clips=sorted((row for row in clips if row["outcome"] == "done"), key=lambda row: (row["path"], row["window"])),
        seconds=_seconds(store, models, methods, measured),
        outcomes=_outcomes(store),
    )


def config_of(model: ModelRecord) -> dict[str, Any]:
    """The job that made a model, as a mapping."""
    return json.loads(model.config)


def _method(store: Store, number: int, name: str, videos: Sequence[Row], measured: Sequence[Row]) -> Method:
    own = {video["clip"]: video for video in videos if video["name"] == name and video["outcome"] == "done"}
    first = next(iter(own.values()))
    values: dict[str, dict[str, float]] = defaultdict(dict)
    for row in measured:
        if row["name"] == name:
            values[row["metric"]][row["clip"]] = row["value"]
    model = find_model(store, first["model"])
    if model is None:
        raise UsageError(f"renders: the model of {name!r} is gone from {store.url}: train it again, and render again")
    title, detail = _words(model, first["steps"])
    return Method(name, title, detail, number, model, own, values)


def _words(model: ModelRecord, steps: int) -> tuple[str, str]:
    count = "1 step" if steps == 1 else f"{steps} steps"
    warped = model.noise.kind == "warped"
    noise = f"warped noise, β {model.noise.beta:g}" if warped else "independent noise"
    if model.kind == "distill":
        title = "One-step student" if steps == 1 else "Student"
        return title, f"{count}; distilled from {config_of(model)['teacher']}, {noise}"
    return "EquiVDM" if warped else "Independent noise", f"{count}; trained on {noise}"


def _told_apart(methods: Sequence[Method]) -> list[Method]:
    """Add the set's name to titles that two sets share."""
    shared = Counter(method.title for method in methods)
    return [
        method if shared[method.title] == 1 else Method(**{**vars(method), "title": f"{method.title} ({method.name})"})
        for method in methods
    ]


def _with_teachers(store: Store, models: Sequence[ModelRecord]) -> list[ModelRecord]:
    used = {model.key: model for model in models}
    for model in models:
        parent = find_model(store, model.parent) if model.parent else None
        while parent and parent.key not in used:
            used[parent.key] = parent
            parent = find_model(store, parent.parent) if parent.parent else None
    return sorted(used.values(), key=lambda model: model.created)


def _seconds(
    store: Store, models: Sequence[ModelRecord], methods: Sequence[Method], measured: Sequence[Row]
) -> dict[str, float]:
    """Seconds of computing, added up over items: the same after a resumed run as after one in one go."""
    rows = store.table("clips").rows(("key", "seconds"))
    seconds: dict[str, float] = {"preprocess": sum(row["seconds"] or 0.0 for row in rows)}
    for model in models:
        seconds[f"{model.kind} {model.name}"] = model.seconds
    for method in methods:
        seconds[f"render {method.name}"] = sum(video["seconds"] for video in method.videos.values())
    seconds["evaluate"] = sum({row["video"]: row["seconds"] for row in measured}.values())
    return seconds


def _outcomes(store: Store) -> Counter[str]:
    return Counter(store.table("clips").states().outcomes())


def summary_table(material: Material, resamples: int) -> list[Line]:
    """The table of metrics and methods, with 95% intervals over clips."""
    found = {metric for method in material.methods for metric in method.values}
    return [_line(name, material.methods, resamples) for name in METRICS if name in found]


def _line(name: str, methods: Sequence[Method], resamples: int) -> Line:
    metric = METRICS[name]
    known = {method.name: dict(method.values.get(name, {})) for method in methods}
    means = {key: mean_interval(list(values.values()), resamples, seed=0) for key, values in known.items() if values}
    baseline = next((method.name for method in methods if method.model.noise.kind == "independent"), None)
    digits = min(_digits(interval) for interval in means.values())
    best = _best(metric, means)

    def cell(key: str) -> Cell | None:
        if key not in means:
            return None
        interval, difference = means[key], ""
        if baseline in means and key != baseline:
            difference = _difference(known[key], known[baseline], digits, resamples)
        words = f"{_number(interval.low, digits)} to {_number(interval.high, digits)}"
        return Cell(_number(interval.mean, digits), words, key == best, difference)

    return Line(metric, [cell(method.name) for method in methods])


def _best(metric: Metric, means: Mapping[str, Interval]) -> str | None:
    """The set with the best mean; None where there is nothing to compare."""
    if metric.better == "neither" or len(means) < 2:
        return None
    return (max if metric.better == "higher" else min)(means, key=lambda name: means[name].mean)


def _difference(values: Mapping[str, float], baseline: Mapping[str, float], digits: int, resamples: int) -> str:
    """The mean of the paired differences and its interval."""
    clips = sorted(values.keys() & baseline.keys())
    if not clips:
        return ""
    interval = paired_interval([values[clip] for clip in clips], [baseline[clip] for clip in clips], resamples, seed=0)
    mean, low, high = (_number(value, digits, sign="+") for value in (interval.mean, interval.low, interval.high))
    return f"{mean} ({low} to {high})"


def _number(value: float, digits: int, sign: str = "-") -> str:
    return f"{value:{sign}.{digits}f}".replace("-", "−")


def _digits(interval: Interval) -> int:
    """As many digits after the point as the interval's width bears."""
    width = (interval.high - interval.low) or abs(interval.mean) / 100 or 1.0
    return min(5, max(0, 1 - math.floor(math.log10(width)))) if math.isfinite(width) else 2


def notes(material: Material, resamples: int) -> list[str]:
    """What a reader must know to judge the figures."""
    clips, seeds = material.clips, sorted({config_of(model)["fit"]["seed"] for model in material.models})
    sizes = sorted({f"{clip['frames']} frames of {clip['height']}×{clip['width']}" for clip in clips})
    videos = len({clip["path"] for clip in clips})
    parts = ", ".join(f"{number} {outcome}" for outcome, number in sorted(material.outcomes.items()))
    return [
        f"Measured on {counted(len(clips), 'clip')} of {counted(videos, 'video')}, {', '.join(sizes)}.",
        *_seen_in_training(material),
        *_incomplete(material),
        f"Intervals are 95%, by a bootstrap of {resamples} resamplings over clips. They hold nothing of the spread "
        f"between training seeds: each model was trained once (seed {', '.join(map(str, seeds))}).",
        "Δ is the difference from the independent-noise model on the same clips, with its interval.",
        "Motion is judged by the same flow estimator that drives the noise; the driving flow is an estimate too.",
        f"Clips in the store: {parts}. Seconds are of computing, added up over items, not of the clock.",
    ]


def _seen_in_training(material: Material) -> list[str]:
    """Say plainly whether the clips shown were trained on."""
    seen = [
        clip
        for clip in material.clips
        if any(matches(clip["path"], *_selection(config_of(model)["data"])) for model in material.models)
    ]
    if not seen:
        return ["No model was trained on any of these videos."]
    return [
        f"{len(seen)} of these {len(material.clips)} clips were in the training set of at least one model: there the "
        "figures say how well it reproduces what it has seen, not how well it does on new video."
    ]


def _incomplete(material: Material) -> list[str]:
    """Name the sets that do not cover every clip: their means are of fewer clips than the others'."""
    total = len(material.clips)
    measured = {m.name: max((len(values) for values in m.values.values()), default=0) for m in material.methods}
    return [
        f"{method.title}: {len(method.videos)} of {total} clips rendered, {measured[method.name]} measured."
        for method in material.methods
        if min(len(method.videos), measured[method.name]) < total
    ]


def _selection(data: Row) -> tuple[Sequence[str], Sequence[str]]:
    return data.get("include", ("*",)), data.get("exclude", ())


def counted(number: int, noun: str) -> str:
    """`1 clip`, `2 clips`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
