"""Finished clips, committed as preprocess commits them: tensors in the stages' tables, a row in `clips`."""

from collections.abc import Sequence

from pipelines.clips import STAGE_OF
from pipelines.config import PreprocessJob
from pipelines.identity import item_key
from pipelines.stages import stage_fingerprints, stage_keys
from pipelines.store import Store
from pipelines.tables import Row

JOB = PreprocessJob.model_validate({"store": {"root": "nowhere"}, "source": {"root": "nowhere"}})
"""Whose settings the clips are of."""


def put_clips(store: Store, rows: Sequence[Row]) -> list[str]:
    """Commit clips of the backbone `tiny`, given with all their columns, and return their keys in order."""
    rows = [{"caption": "", **row, "content": row["key"]} for row in rows]
    keys = [{stage: key for stage, key in _keys(row).items() if stage in stages_of(row)} for row in rows]
    for row, own in zip(rows, keys, strict=True):
        for stage, key in sorted(own.items()):
            columns = {name: value for name, value in row.items() if STAGE_OF.get(name) == stage}
            table = store.table(stage)
            table.commit([table.write({"key": key, **columns})])
    clips = [{name: value for name, value in row.items() if name not in STAGE_OF} for row in rows]
    store.table("clips").append([clip | own for clip, own in zip(clips, keys, strict=True)])
    return sorted(row["key"] for row in rows)


def _keys(row: Row) -> dict[str, str]:
    others = {stage: item_key(row["key"], stage) for stage in stages_of(row)}
    return others | stage_keys(row, stage_fingerprints(JOB))


def stages_of(row: Row) -> set[str]:
    """Return the stages whose columns a row has."""
    return {STAGE_OF[name] for name in row if name in STAGE_OF}
