"""Finished clips, committed as preprocess commits them: tensors in the stages' tables, a row in `clips`."""

from collections.abc import Sequence

from pipelines.clips import STAGE_OF
from pipelines.identity import item_key
from pipelines.store import Store
from pipelines.tables import Row


def put_clips(store: Store, rows: Sequence[Row]) -> list[str]:
    """Commit clips given with all their columns, and return their keys in order."""
    for row in rows:
        for stage in sorted(stages_of(row)):
            columns = {name: value for name, value in row.items() if STAGE_OF.get(name) == stage}
            table = store.table(stage)
            table.commit([table.write({"key": item_key(row["key"], stage), **columns})])
    named = [{stage: item_key(row["key"], stage) for stage in stages_of(row)} for row in rows]
    clips = [{name: value for name, value in row.items() if name not in STAGE_OF} for row in rows]
    store.table("clips").append([clip | keys for clip, keys in zip(clips, named, strict=True)])
    return sorted(row["key"] for row in rows)


def stages_of(row: Row) -> set[str]:
    """Return the stages whose columns a row has."""
    return {STAGE_OF[name] for name in row if name in STAGE_OF}
