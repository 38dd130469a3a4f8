"""What a report shows, read from the tables."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipelines.config import EvaluateJob
from pipelines.evaluation.comparison import Comparison, compare
from pipelines.evaluation.items import evaluation_of
from pipelines.evaluation.pairs import Pair
from pipelines.evaluation.scores import read_scores
from pipelines.models import ModelRecord, find_model
from pipelines.store import Store
from pipelines.tables import Row


@dataclass(frozen=True)
class Method:
    """A set of videos that was rendered here, with the model behind it, or a system from elsewhere."""

    name: str
    title: str
    detail: str
    colour: int
    """Number of the method's colour in the page's palette."""
    model: ModelRecord | None
    """None of a system, and where it is gone."""
    pairs: Mapping[str, Pair]
    """Its videos, by clip."""
    seeds: Mapping[str, int]
    """Seed of the job that rendered a video, by clip."""


@dataclass(frozen=True)
class Material:
    """All that a page needs, but the pictures."""

    found: Comparison
    methods: Sequence[Method]
    models: Sequence[ModelRecord]
    """Every model that took part, teachers too, in the order they were made."""
    clips: Mapping[str, Pair]
    """What drove the videos, each with one of them, by path and window."""
    seconds: Mapping[str, float]
    """Seconds of computing by stage."""
    outcomes: Mapping[str, int]
    """How the clips of the store ended."""


def read_material(job: EvaluateJob, store: Store) -> Material:
    """Read the tables. Raises UsageError where a set of videos is missing."""
    return material_of(compare(read_scores(evaluation_of(job, store))), store)


def material_of(found: Comparison, store: Store) -> Material:
    """Read what a page needs beside the figures."""
    pairs = found.scores.pairs
    keys = {pair.video for own in pairs.values() for pair in own.values() if pair.video}
    columns = ("key", "model", "steps", "seconds", "config")
    videos = {row["key"]: row for row in store.table("videos").rows(columns, keys)} if keys else {}
    methods = [_method(store, number, name, found, videos) for number, name in enumerate(found.scores.job.names)]
    models = _with_teachers(store, [method.model for method in methods if method.model])
    clips = {clip: pair for name in reversed(found.scores.job.names) for clip, pair in pairs[name].items()}
    return Material(
        found=found,
        methods=_told_apart(methods),
        models=models,
        clips=dict(sorted(clips.items(), key=lambda each: (each[1].driven_by, each[1].window))),
        seconds=_seconds(store, models, found, videos),
        outcomes=Counter(store.table("clips").states().outcomes()),
    )


def config_of(model: ModelRecord) -> dict[str, Any]:
    """The job that made a model, as a mapping."""
    return json.loads(model.config)


def _method(store: Store, number: int, name: str, found: Comparison, videos: Mapping[str, Row]) -> Method:
    pairs = found.scores.pairs[name]
    rendered = {clip: videos[pair.video] for clip, pair in pairs.items() if pair.video}
    if not rendered:
        return Method(name, name, _words_of_system(found, name), number, None, pairs, {})
    first = next(iter(rendered.values()))
    model = find_model(store, first["model"])
    if model is None:
        return Method(name, name, f"its model is gone from {store.url}", number, None, pairs, {})
    title, detail = _words(model, first["steps"])
    configs = {clip: json.loads(video["config"]) for clip, video in rendered.items()}
    seeds = {clip: config["seed"] for clip, config in configs.items()}
    if not any(config["use_control"] for config in configs.values()):
        detail += "; shown no condition"
    return Method(name, title, detail, number, model, pairs, seeds)


def _words_of_system(found: Comparison, name: str) -> str:
    root = next((system.root for system in found.scores.job.systems if system.name == name), "")
    return f"videos of {root}" if root else "no video could be measured"


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
        method if shared[method.title] == 1 else replace(method, title=f"{method.title} ({method.name})")
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
    store: Store, models: Sequence[ModelRecord], found: Comparison, videos: Mapping[str, Row]
) -> dict[str, float]:
    """Seconds of computing, added up over items: the same after a resumed run as after one in one go."""
    seconds: dict[str, float] = {}
    if clips := store.table("clips").rows(("key", "seconds")) if videos else []:
        seconds["preprocess"] = sum(row["seconds"] or 0.0 for row in clips)
    for model in models:
        seconds[f"{model.kind} {model.name}"] = model.seconds
    for name, pairs in found.scores.pairs.items():
        if rendered := [videos[pair.video]["seconds"] or 0.0 for pair in pairs.values() if pair.video]:
            seconds[f"render {name}"] = sum(rendered)
    return {**seconds, **{f"evaluate {name}": own for name, own in found.scores.seconds.items()}}
