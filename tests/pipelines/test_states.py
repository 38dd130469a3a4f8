"""The latest state of every key, as a mapping and in columns, whatever the order of the attempts."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import states
from pipelines.states import SCHEMA, SETTLED, State, States, is_settled

ATTEMPT = st.tuples(
    st.sampled_from("abcd"), st.sampled_from(["failed", "done", "filtered", "quarantined"]), st.integers(1, 5)
)


def table_of(attempts: list[tuple[str, str, int]]) -> pa.Table:
    columns = [list(column) for column in zip(*attempts, strict=True)]
    return pa.table(columns, schema=SCHEMA) if columns else SCHEMA.empty_table()


def latest(attempts: list[tuple[str, str, int]]) -> dict[str, State]:
    """The rule in plain words: the highest attempt; of equals one that is settled, of such the last."""
    ends: dict[str, State] = {}
    for key, outcome, attempt in attempts:
        rank = (attempt, outcome in SETTLED)
        known = ends.get(key)
        if known is None or rank >= (known.attempt, known.outcome in SETTLED):
            ends[key] = State(outcome, attempt)
    return ends


@given(st.lists(ATTEMPT, max_size=12))
def test_states_are_those_of_the_rule(attempts: list[tuple[str, str, int]]) -> None:
    told, expected = States(table_of(attempts)), latest(attempts)
    assert told == expected
    asked = pa.array(["z", *"abcd"])
    found = told.lookup(asked).to_pylist()
    for key, row in zip(asked.to_pylist(), found, strict=True):
        assert (row["outcome"], row["attempt"]) == expected.get(key, (None, None))
    assert sum(told.outcomes().values()) == len(told) == len(expected)


@given(st.lists(st.lists(ATTEMPT, max_size=5), max_size=12), st.integers(1, 6), st.integers(0, 4), st.integers(0, 4))
def test_states_that_grew_are_those_of_all_attempts(
    commits: list[list[tuple[str, str, int]]], large: int, small: int, few: int
) -> None:
    grown = States.empty()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("_LARGE", large), ("_SMALL", small), ("_FEW", few)):
            patch.setattr(states, name, value)
        for attempts in commits:
            grown = grown.after(table_of(attempts))
        asked = pa.array(["z", *"dcbaa"])
        expected = latest([attempt for attempts in commits for attempt in attempts])
        found = [(row["outcome"], row["attempt"]) for row in grown.lookup(asked).to_pylist()]
        assert found == [expected.get(key, (None, None)) for key in asked.to_pylist()]
        assert grown == expected


def test_growing_copies_no_key_often() -> None:
    grown = States.empty()
    for number in range(200):
        grown = grown.after(table_of([(f"{number}", "done", 1)]))
    assert len(grown._attempts.to_batches()) <= states._SMALL


def test_an_unknown_outcome_is_not_settled() -> None:
    outcomes = pa.chunked_array([pa.array(["done", None, "failed", "filtered", "quarantined"])])
    assert is_settled(outcomes).to_pylist() == [True, False, False, True, True]
