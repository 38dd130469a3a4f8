"""What a table says of its keys, in columns: 80 bytes a key, where objects would take some hundreds."""

import itertools
from collections.abc import Container, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from pipelines.arrow import compute

Row = dict[str, Any]

SETTLED = frozenset({"done", "filtered", "quarantined"})
"""Outcomes that no run tries again; a `failed` item is tried by the next run."""

SCHEMA = pa.schema([("key", pa.string()), ("outcome", pa.string()), ("attempt", pa.int32())])
"""A row per attempt at a key: how it ended."""

_LARGE = 65_536
"""Rows of a chunk that is not copied any more."""

_SMALL = 64
"""Chunks of fewer rows that may be there at once: each is a commit's."""

_FEW = 8
"""Keys are few where the table has so many times as many."""


class State(NamedTuple):
    """What a table says of one key."""

    outcome: str
    attempt: int


class States(Mapping[str, State]):
    """The latest state of every key.

    A mapping for those who ask for a few keys; `lookup` answers for millions at once.
    """

    def __init__(self, attempts: pa.Table) -> None:
        """Take every attempt, in the order of the log, as `SCHEMA` has them."""
        self._attempts = attempts

    @classmethod
    def empty(cls) -> "States":
        """Return those of a table that is empty, or not there."""
        return cls(SCHEMA.empty_table())

    def after(self, attempts: pa.Table) -> "States":
        """Return the states after some more attempts. What is known is shared, not copied."""
        batches = [*self._attempts.to_batches(), *attempts.to_batches()]
        small = list(itertools.takewhile(lambda batch: len(batch) < _LARGE, reversed(batches)))[::-1]
        if len(small) > _SMALL:
            batches = batches[: -len(small)] + pa.Table.from_batches(small).combine_chunks().to_batches()
        return States(pa.Table.from_batches(batches, SCHEMA))

    def lookup(self, keys: pa.Array | pa.ChunkedArray) -> pa.Table:
        """Return outcome and attempt of each key, in the order of `keys`; null where the table knows nothing."""
        if _FEW * len(keys) < len(self._attempts):  # a writer asks for few of millions, again and again
            latest = _latest(self._attempts.filter(compute.is_in(self._attempts["key"], value_set=keys)))
        else:
            latest = self._latest
        if not len(latest):
            return pa.table({name: pa.nulls(len(keys), SCHEMA.field(name).type) for name in SCHEMA.names[1:]})
        places = compute.index_in(keys, value_set=latest["key"])
        return latest.select(SCHEMA.names[1:]).take(places)

    def outcomes(self) -> dict[str, int]:
        """Return how many keys ended in which outcome."""
        counted = compute.value_counts(self._latest["outcome"])
        return {pair["values"]: pair["counts"] for pair in counted.to_pylist()}

    def __getitem__(self, key: str) -> State:
        """Return the state of a key. Raises KeyError where the table knows nothing of it."""
        place = self._places[key]
        return State(self._latest["outcome"][place].as_py(), self._latest["attempt"][place].as_py())

    def __iter__(self) -> Iterator[str]:
        """Yield the keys."""
        return iter(self._places)

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._latest)

    @cached_property
    def _latest(self) -> pa.Table:
        return _latest(self._attempts)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {key: place for place, key in enumerate(self._latest["key"].to_pylist())}


def is_settled(outcomes: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return which outcomes no run tries again; an unknown key (null) is not settled."""
    return compute.is_in(outcomes, value_set=pa.array(sorted(SETTLED)))


def _latest(attempts: pa.Table) -> pa.Table:
    """Keep one row a key: the highest attempt; of equals one that is settled, of such the last in the log."""
    if compute.count_distinct(attempts["key"]).as_py() == len(attempts):
        return attempts
    attempts = attempts.combine_chunks()
    codes = compute.dictionary_encode(attempts["key"]).combine_chunks().indices.to_numpy()
    rank = 2 * attempts["attempt"].to_numpy().astype(np.int64) + is_settled(attempts["outcome"]).to_numpy()
    order = np.lexsort((np.arange(len(codes)), rank, codes))
    last = np.append(codes[order][1:] != codes[order][:-1], True)
    return attempts.take(pa.array(np.sort(order[last])))


def fresh_rows(rows: Sequence[Row], states: States, settled: Container[str]) -> list[Row]:
    """Return the rows that say more than the table: of keys that are not `settled`, and of later attempts."""
    known = states.lookup(pa.array([row["key"] for row in rows], pa.string()))
    pairs = zip(known["outcome"].to_pylist(), known["attempt"].to_pylist(), strict=True)
    later = [
        outcome is None or (outcome not in settled and attempt < row.get("attempt", 1))
        for row, (outcome, attempt) in zip(rows, pairs, strict=True)
    ]
    taken: dict[str, tuple[Any, Any]] = {}
    fresh = []
    for row, is_later in zip(rows, later, strict=True):
        said = row.get("outcome"), row.get("attempt")
        if is_later and taken.setdefault(row["key"], said) == said:
            fresh.append(row)
    return fresh


def states_of(
    keys: pa.ChunkedArray, outcome: pa.ChunkedArray | None = None, attempt: pa.ChunkedArray | None = None
) -> pa.Table:
    """Return states in their schema; where a table has no outcomes its rows are done at the first attempt."""
    outcomes = pa.repeat("done", len(keys)) if outcome is None else compute.fill_null(outcome, "done")
    attempts = pa.repeat(1, len(keys)).cast(pa.int32()) if attempt is None else compute.fill_null(attempt, 1)
    return pa.table([keys, outcomes, attempts], schema=SCHEMA)
