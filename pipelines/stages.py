"""The stages of a clip, keyed one by one: a changed setting computes again what depends on it, and nothing else.

A stage's fingerprint holds its own settings and version, and the fingerprints of the stages that it stands on; its rows
are keyed by that and by what of a window decides them: most by its content and the clip's size, those of captions by
the caption. So two jobs that differ in one stage share all the others, and windows of one caption share its row.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from equivdm.backbones import backbone_of
from equivdm.config import BackboneConfig
from equivdm.control import control_identity
from equivdm.errors import UsageError
from equivdm.flow import flow_identity
from pipelines.config import PreprocessJob
from pipelines.identity import fingerprint, item_key
from pipelines.states import States
from pipelines.store import Store
from pipelines.tables import Row


@dataclass(frozen=True)
class Stage:
    """What decides the rows of one stage."""

    version: int
    """Raised when the same settings would give other rows."""
    settings: Callable[[PreprocessJob], Any]
    """The parts of the job that can change the stage's rows, as JSON values."""
    after: tuple[str, ...] = ()
    """Stages whose rows it is computed from."""
    wanted: Callable[[PreprocessJob], bool] = lambda _: True
    """Whether a job's clips have it."""
    of: tuple[str, ...] = ("content", "height", "width")
    """Columns of a window that decide its row."""


def _codec(job: PreprocessJob) -> Any:
    return backbone_of(job.backbone).codec_identity()


def _text(job: PreprocessJob) -> Any:
    return backbone_of(job.backbone).text_identity()


def _shows(job: PreprocessJob) -> bool:
    return backbone_of(job.backbone).control_form() != "none"


def _shows_latents(job: PreprocessJob) -> bool:
    return backbone_of(job.backbone).control_form() == "latents"


STAGES: Mapping[str, Stage] = {
    "looks": Stage(2, lambda job: {}),
    "motion": Stage(3, lambda job: {**flow_identity(job.flow), "divisor": job.flow_divisor}),
    "plans": Stage(2, lambda job: job.plan.model_dump() | job.flow.occlusion.model_dump(), after=("motion",)),
    "controls": Stage(2, lambda job: control_identity(job.control), wanted=_shows),
    "texts": Stage(1, _text, of=("caption",)),
    "hints": Stage(
        1, _codec, after=("controls",), wanted=lambda job: _shows_latents(job) and job.control.kind != "none"
    ),
    "blanks": Stage(1, _codec, wanted=_shows_latents, of=("frames", "height", "width")),
    "latents": Stage(2, _codec),
    "noises": Stage(1, _codec, after=("plans",), wanted=lambda job: job.materialize_noise),
}
"""In the order of computing. Each has a table of its name."""

OF_PIXELS = ("looks", "motion", "controls", "latents")
"""Stages that are computed from the decoded frames."""


def stage_fingerprints(job: PreprocessJob) -> dict[str, str]:
    """Return the fingerprint of every stage that the job's clips have."""
    found: dict[str, str] = {}
    for name, stage in STAGES.items():
        if stage.wanted(job):
            found[name] = _print(name, stage.settings(job), [found[before] for before in stage.after])
    return found


def _print(name: str, settings: Any, after: Sequence[str] = ()) -> str:
    return fingerprint({"stage": name, "version": STAGES[name].version, "settings": settings, "after": list(after)})


def stage_keys(window: Row, prints: Mapping[str, str]) -> dict[str, str]:
    """Return the key of a window's row in every stage."""
    return {name: item_key(*(window[column] for column in STAGES[name].of), own) for name, own in prints.items()}


def check_clips(clips: Sequence[Row], config: BackboneConfig) -> None:
    """Raise UsageError where clips were not preprocessed for a backbone: with its codec, its text encoder, its control.

    Their keys tell it; nothing of them is read.
    """
    backbone = backbone_of(config)
    shown = {"pixels": "controls", "latents": "blanks", "none": None}[backbone.control_form()]
    identities = {"latents": backbone.codec_identity(), "texts": backbone.text_identity()}
    prints = {name: _print(name, identity) for name, identity in identities.items()}
    for clip in clips:
        keys = stage_keys(clip, prints)
        wrong = [name for name in prints if clip[name] != keys[name]] + ([shown] if shown and not clip[shown] else [])
        if wrong:
            raise UsageError(
                f"data: got clips whose {' and '.join(wrong)} are not of this backbone ({backbone.kind}, its codec, "
                f"text encoder and control), such as {clip['path']}: preprocess with its settings, or set data.clips"
            )


def lacking(windows: pa.Table, prints: Mapping[str, str], states: Mapping[str, States]) -> dict[str, np.ndarray]:
    """Say of each window which stages have no row of it: bool [windows] by stage, given every stage's states."""
    rows = windows.select(sorted({column for name in prints for column in STAGES[name].of})).to_pylist()
    keys = [stage_keys(row, prints) for row in rows]
    found = {name: states[name].lookup(pa.array([own[name] for own in keys], pa.string())) for name in prints}
    return {name: known["outcome"].is_null().to_numpy() for name, known in found.items()}


def with_stages(store: Store, windows: Iterable[Row], prints: Mapping[str, str]) -> list[Row]:
    """Add to each window its `keys` by stage, and `have`: the data file of each stage's row, or ''."""
    rows: list[Row] = [
        {**window, "keys": stage_keys(window, prints), "have": dict.fromkeys(prints, "")} for window in windows
    ]
    for name in prints:
        files = store.table(name).files_of([row["keys"][name] for row in rows])
        for row, file in zip(rows, files, strict=True):
            row["have"][name] = file or ""
    return rows
