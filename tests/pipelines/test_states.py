"""The latest state of every key, as a mapping and in columns, whatever the order of the attempts."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipelines.states import SCHEMA, SETTLED, State, States, is_settled

ATTEMPT = st.tuples(
    st.sampled_from("abcd"), st.sampled_from(["failed", "done", "filtered", "quarantined"]), st.integers(1, 5)
)


def table_of(attempts: list[tuple[str, str, int]]) -> pa.Table:
    columns = [list(column) for column in zip(*attempts, strict=True)]
    return pa.table(columns, schema=SCHEMA) if columns else SCHEMA.empty_table()


def latest(attempts: list[tuple[str, str, int]]) -> dict[str, State]:
    """The rule in plain words: the highest attempt; of equals one that is settled, of such the last."""
    states: dict[str, State] = {}
    for key, outcome, attempt in attempts:
        rank = (attempt, outcome in SETTLED)
        known = states.get(key)
        if known is None or rank >= (known.attempt, known.outcome in SETTLED):
            states[key] = State(outcome, attempt)
    return states


@given(st.lists(ATTEMPT, max_size=12))
def test_states_are_those_of_the_rule(attempts: list[tuple[str, str, int]]) -> None:
    states, expected = States(table_of(attempts)), latest(attempts)
    assert states == expected
    asked = pa.array(["z", *"abcd"])
    found = states.lookup(asked).to_pylist()
    for key, row in zip(asked.to_pylist(), found, strict=True):
        assert (row["outcome"], row["attempt"]) == expected.get(key, (None, None))
    assert sum(states.outcomes().values()) == len(states) == len(expected)


def test_an_unknown_outcome_is_not_settled() -> None:
    outcomes = pa.chunked_array([pa.array(["done", None, "failed", "filtered", "quarantined"])])
    assert is_settled(outcomes).to_pylist() == [True, False, False, True, True]
