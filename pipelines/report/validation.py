"""The report's part on validations: what a model made of held-out clips, step by step, and how well."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from equivdm.metrics import METRICS
from pipelines.evaluation.remarks import counted
from pipelines.models import ModelRecord
from pipelines.report.material import Material
from pipelines.report.media import Player, write_once
from pipelines.report.plots import metric_curve
from pipelines.steps import ITEM_FAULTS
from pipelines.store import Store
from pipelines.tables import Row
from pipelines.validated import ValidationRecord, read_validations, step_folder

_CLIP_COLUMNS = ("key", "path", "window", "caption", "height", "width", "outcome")

SHOWN_STEPS = 6
"""Validations in a row of players: the first, the last, and what lies evenly between."""

SHOWN_CLIPS = 4
"""Rows of players of a model; the curves are of all its clips."""


class Curve(NamedTuple):
    """A figure over the steps."""

    title: str
    unit: str
    better: Literal["higher", "lower", "neither"]
    plot: str
    """SVG."""


@dataclass(frozen=True)
class Validated:
    """The validations of one model."""

    model: ModelRecord
    lead: str
    curves: Sequence[Curve]
    rows: Sequence[tuple[Row, Sequence[Player]]]
    """A clip, and what the model made of it at each of the steps shown."""


def validations_of(material: Material, store: Store, out: Store) -> list[Validated]:
    """Return what is shown of each model that was validated, and copy the videos below `out`."""
    colours = {method.model.key: method.colour for method in material.methods if method.model}
    found = ((model, read_validations(store, model.key)) for model in material.models)
    return [_validated(model, records, store, out, colours.get(model.key)) for model, records in found if records]


def _validated(
    model: ModelRecord, records: Sequence[ValidationRecord], store: Store, out: Store, colour: int | None
) -> Validated:
    shown = evenly(records, SHOWN_STEPS)
    keys = {clip.key for clip in records[-1].clips}
    clips = (row for row in store.table("clips").rows(_CLIP_COLUMNS, keys) if row["outcome"] == "done")
    first = sorted(clips, key=lambda row: (row["path"], row["window"]))[:SHOWN_CLIPS]
    rows = [(clip, [_player(model, record, clip["key"], store, out) for record in shown]) for clip in first]
    means = f"Means of {counted(len(keys), 'clip')} over the steps"
    lead = f"{means}; {counted(len(records), 'validation')}, the last after step {shown[-1].step}."
    return Validated(model, lead, curves(model.name, records, colour), rows)


def evenly(records: Sequence[ValidationRecord], most: int) -> list[ValidationRecord]:
    """Return at most so many: the first, the last, and what lies evenly between."""
    if len(records) <= most:
        return list(records)
    return [records[round(place * (len(records) - 1) / (most - 1))] for place in range(most)]


def curves(name: str, records: Sequence[ValidationRecord], colour: int | None) -> list[Curve]:
    """Return each figure of a model over the steps, mean over the clips: the loss first, then the metrics."""
    found = []
    for figure in ("loss", *METRICS):
        points = [(record.step, record.figures[figure]) for record in records if figure in record.figures]
        if points:
            metric = METRICS.get(figure)
            words = (metric.title, metric.unit, metric.better) if metric else ("Denoising loss", "", "lower")
            found.append(Curve(*words, plot=metric_curve(f"{words[0]} of {name}", points, colour)))
    return found


def _player(model: ModelRecord, record: ValidationRecord, key: str, store: Store, out: Store) -> Player:
    files: Mapping[str, str] = {clip.key: clip.file for clip in record.clips}
    title = f"Step {record.step}"
    if key not in files:
        return Player(title, None, note="not sampled")

    def write(target: str) -> None:
        with store.local_copy(step_folder(model.key, record.step), files[key]) as local:
            shutil.copyfile(local, target)

    try:
        return Player(title, write_once(out, f"{model.key[:20]}-{record.step}-{key[:20]}.mp4", write))
    except ITEM_FAULTS:
        return Player(title, None, note="the video is gone")
