"""Models that come along with the package: found in every store by their names, and nowhere written to.

How they were made: docs/shipped.md.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pipelines.tables import Row

ROW = "model.json"
"""Name of the file beside the weights that holds their row of the `models` table."""

_HOME = Path(__file__).parent


@cache
def shipped_rows() -> Mapping[str, Row]:
    """Return the rows of all of them by their keys."""
    import pyarrow as pa

    from pipelines.schemas import MODELS

    rows = [json.loads(file.read_text()) for file in sorted(_HOME.glob(f"*/{ROW}"))]
    for row in rows:
        row["created"] = pa.scalar(row["created"]).cast(MODELS.field("created").type).as_py()
    return {row["key"]: row for row in rows}


def shipped_folder(key: str) -> Path | None:
    """Return where the weights of a key lie; None where it did not come along."""
    row = shipped_rows().get(key)
    return _HOME / row["name"] if row else None


def as_text(row: Mapping[str, Any]) -> str:
    """Return what the file `ROW` of a model says."""
    return json.dumps({**row, "created": row["created"].isoformat()}, indent=1) + "\n"
