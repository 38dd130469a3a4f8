"""Reading finished clips: which ones a job works on, and their tensors, which lie in the tables of the stages."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from equivdm.errors import EquivdmError, UsageError
from equivdm.flow import Motion
from pipelines.schemas import CLIPS, STAGE, STAGES, WINDOW, from_tensor
from pipelines.settings import SelectConfig
from pipelines.sources import matches
from pipelines.store import Store
from pipelines.tables import Row

Files = dict[str, str]
"""Data file of a clip's row in each of several stages' tables."""

STAGE_OF = {name: stage for stage, schema in STAGES.items() for name in schema.names[len(STAGE) :]}
"""The stage that computes a column."""

MOTION_COLUMNS = ("forward", "backward", "occluded_forward", "occluded_backward")
"""What `motion_of` needs."""

_NAMES = ("key", "fingerprint", "outcome", *(name for name, _ in WINDOW), *STAGES)


def select_clips(store: Store, config: SelectConfig) -> list[Row]:
    """Return the finished clips of a selection, by key, without their tensors.

    Raises UsageError where nothing is selected, or where the store holds clips of several preprocess configs and the
    selection does not say which.
    """
    rows = [row for row in store.table("clips").rows(_NAMES) if row["outcome"] == "done"]
    if config.clips:
        rows = [row for row in rows if row["fingerprint"].startswith(config.clips)]
    prints = Counter(row["fingerprint"][:12] for row in rows)
    if len(prints) > 1:
        found = ", ".join(f"{name} ({number} clips)" for name, number in prints.most_common())
        raise UsageError(
            f"data.clips: the store holds clips of {len(prints)} preprocess configs: {found}; set data.clips to one"
        )
    chosen = [row for row in rows if matches(row["path"], config.include, config.exclude)]
    if not chosen:
        raise UsageError(
            f"data: got include={list(config.include)} exclude={list(config.exclude)}, which selects none of "
            f"{len(rows)} finished clips in {store.url}; run preprocess first, or change the patterns"
        )
    return chosen[: config.limit]


def finished_clips(store: Store, keys: Iterable[str]) -> list[Row]:
    """Return the finished clips of these keys, by key, without their tensors."""
    return [row for row in store.table("clips").rows(_NAMES, keys) if row["outcome"] == "done"]


def locate(store: Store, clips: Sequence[Row], columns: Iterable[str]) -> list[Files]:
    """Say for each clip where the columns of its stages lie. The log of each table is read once.

    Raises EquivdmError where a stage's row is gone: a clip without it is no clip.
    """
    located: list[Files] = [{} for _ in clips]
    for stage in sorted({STAGE_OF[name] for name in columns if name in STAGE_OF}):
        named = [(files, clip[stage]) for files, clip in zip(located, clips, strict=True) if clip[stage]]
        found = store.table(stage).files_of([key for _, key in named])
        if missing := found.count(None):
            raise EquivdmError(
                f"{stage}: {missing} of {len(named)} rows that clips name are not in {store.url}: run preprocess again"
            )
        for (files, _), file in zip(named, found, strict=True):
            files[stage] = str(file)
    return located


def read_parts(store: Store, files: Mapping[str, str], columns: Iterable[str]) -> Row:
    """Read columns of one clip from the data files that `locate` gave; None where the clip has no such stage."""
    wanted = defaultdict(list)
    for name in columns:
        wanted[STAGE_OF[name]].append(name)
    row: Row = {}
    for stage, names in wanted.items():
        if stage in files:
            row |= store.table(stage).read_files([files[stage]], names).to_pylist()[0]
        else:
            row |= dict.fromkeys(names)
    return row


def read_clips(store: Store, keys: Sequence[str], columns: Sequence[str]) -> list[Row]:
    """Return the finished clips of these keys, by key, with the given columns of the clips and of their stages."""
    clips = finished_clips(store, keys)
    parts = [name for name in columns if name in STAGE_OF]
    rows = [{name: clip[name] for name in columns if name in CLIPS.names} for clip in clips]
    located = locate(store, clips, parts)
    return [row | read_parts(store, files, parts) for row, files in zip(rows, located, strict=True)]


def motion_of(row: Row) -> Motion:
    """Return a clip's stored motion, as float32."""
    return Motion(
        forward=from_tensor(row["forward"]).astype(np.float32),
        backward=from_tensor(row["backward"]).astype(np.float32),
        occluded_forward=from_tensor(row["occluded_forward"]),
        occluded_backward=from_tensor(row["occluded_backward"]),
    )
