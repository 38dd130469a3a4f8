"""The stages of a clip, keyed one by one: a changed setting computes again what depends on it, and nothing else.

A stage's fingerprint holds its own settings and version, and the fingerprints of the stages that it stands on; its rows
are keyed by that, the window's content and the clip's size. So two jobs that differ in one stage share all the others.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from equivdm.backbones import codec_identity
from equivdm.control import control_identity
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


def _codec(job: PreprocessJob) -> Any:
    return codec_identity(job.backbone)


STAGES: Mapping[str, Stage] = {
    "looks": Stage(1, lambda job: {}),
    "motion": Stage(2, lambda job: {**flow_identity(job.flow), "divisor": job.flow_divisor}),
    "plans": Stage(2, lambda job: job.plan.model_dump() | job.flow.occlusion.model_dump(), after=("motion",)),
    "controls": Stage(1, lambda job: control_identity(job.control)),
    "latents": Stage(1, _codec),
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
            found[name] = fingerprint(
                {
                    "stage": name,
                    "version": stage.version,
                    "settings": stage.settings(job),
                    "after": [found[before] for before in stage.after],
                }
            )
    return found


def stage_keys(window: Row, prints: Mapping[str, str]) -> dict[str, str]:
    """Return the key of a window's row in every stage."""
    return {name: item_key(window["content"], window["height"], window["width"], own) for name, own in prints.items()}


def lacking(windows: pa.Table, prints: Mapping[str, str], states: Mapping[str, States]) -> dict[str, np.ndarray]:
    """Say of each window which stages have no row of it: bool [windows] by stage, given every stage's states."""
    rows = windows.select(["content", "height", "width"]).to_pylist()
    keys = [stage_keys(row, prints) for row in rows]
    found = {name: states[name].lookup(pa.array([own[name] for own in keys], pa.string())) for name in prints}
    return {name: known["outcome"].is_null().to_numpy() for name, known in found.items()}


def with_stages(store: Store, windows: Iterable[Row], prints: Mapping[str, str]) -> list[Row]:
    """Add to each window its `keys` by stage, and `have`: the data file of each stage's row, or ''."""
    rows: list[Row] = [
        {**window, "keys": stage_keys(window, prints), "have": dict.fromkeys(prints, "")} for window in windows
    ]
    for name in prints:
        files = store.table(name).states().files([row["keys"][name] for row in rows])
        for row, file in zip(rows, files, strict=True):
            row["have"][name] = file or ""
    return rows
