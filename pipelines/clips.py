"""Reading finished clips: which ones a job works on, and their tensors."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from equivdm.errors import UsageError
from equivdm.flow import Motion
from pipelines.batch import Row
from pipelines.config import SelectConfig
from pipelines.schemas import from_tensor
from pipelines.sources import matches
from pipelines.store import Store

_NAMES = (
    *("key", "path", "window", "fingerprint", "outcome", "video", "source", "indices", "fps", "caption"),
    *("height", "width"),
)


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


def read_clips(store: Store, keys: Sequence[str], columns: Sequence[str]) -> list[Row]:
    """Return the finished rows of these keys, by key, with the given columns."""
    rows = store.table("clips").rows([*columns, "outcome"], keys)
    return [row for row in rows if row["outcome"] == "done"]


def motion_of(row: dict[str, Any]) -> Motion:
    """Return a clip's stored motion, as float32."""
    return Motion(
        forward=from_tensor(row["forward"]).astype(np.float32),
        backward=from_tensor(row["backward"]).astype(np.float32),
        occluded_forward=from_tensor(row["occluded_forward"]),
        occluded_backward=from_tensor(row["occluded_backward"]),
    )


MOTION_COLUMNS = ("forward", "backward", "occluded_forward", "occluded_backward")
"""What `motion_of` needs."""
