"""The latest state of every key, as a mapping and in columns, whatever the order of the attempts."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipelines.states import SCHEMA, SETTLED, State, States, is_settled

ATTEMPT = st.tuples(
    st.sampled_from("abcd"), st.sampled_from(["failed", "done", "filtered", "quarantined"]), st.integers(1, 5)
)


def table_of(attempts: list[tuple[str, str, int]]) -> pa.Table:
    rows = [(key, outcome, attempt, f"{place}.parquet") for place, (key, outcome, attempt) in enumerate(attempts)]
    return (
        pa.table([list(column) for column in zip(*rows, strict=True)], schema=SCHEMA) if rows else SCHEMA.empty_table()
    )


def latest(attempts: list[tuple[str, str, int]]) -> dict[str, tuple[State, str]]:
    """The rule in plain words: the highest attempt; of equals one that is settled, of such the last."""
    states: dict[str, tuple[State, str]] = {}
    for place, (key, outcome, attempt) in enumerate(attempts):
        rank = (attempt, outcome in SETTLED)
        known = states.get(key)
        if known is None or rank >= (known[0].attempt, known[0].outcome in SETTLED):
            states[key] = State(outcome, attempt), f"{place}.parquet"
    return states


@given(st.lists(ATTEMPT, max_size=12))
def test_states_are_those_of_the_rule(attempts: list[tuple[str, str, int]]) -> None:
    states, expected = States(table_of(attempts)), latest(attempts)
    assert states == {key: state for key, (state, _) in expected.items()}
    asked = pa.array(["z", *"abcd"])
    found = states.lookup(asked).to_pylist()
    for key, row in zip(asked.to_pylist(), found, strict=True):
        if key in expected:
            state, file = expected[key]
            assert (row["outcome"], row["attempt"], row["file"]) == (*state, file)
        else:
            assert set(row.values()) == {None}
    assert sum(states.outcomes().values()) == len(states) == len(expected)


def test_only_what_is_done_has_a_file() -> None:
    states = States(table_of([("a", "done", 1), ("b", "failed", 1)]))
    assert states.files(["b", "a", "z"]) == [None, "0.parquet", None]


def test_an_unknown_outcome_is_not_settled() -> None:
    outcomes = pa.chunked_array([pa.array(["done", None, "failed", "filtered", "quarantined"])])
    assert is_settled(outcomes).to_pylist() == [True, False, False, True, True]
