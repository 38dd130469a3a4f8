"""Failures become rows, sums add up, and what is settled is not done again."""

import pytest

from equivdm.errors import DecoderStopped, NotAVideo
from pipelines.batch import Row, count, failure, pending, step
from pipelines.tables import State

ROW: Row = {"key": "a", "attempt": 1, "max_attempts": 3}


@step
def halve(row: Row) -> Row:
    """A step of a pipeline that fails on an odd number."""
    if row["number"] % 2:
        raise ValueError(f"got {row['number']}, wanted an even number")
    return {"half": row["number"] // 2}


def test_a_step_adds_columns_and_seconds() -> None:
    row = halve({**ROW, "number": 6, "seconds": 1.0})
    assert row["half"] == 3
    assert row["seconds"] > 1.0


def test_a_fault_becomes_a_row_that_later_steps_leave_alone() -> None:
    row = halve({**ROW, "number": 3})
    assert (row["outcome"], row["error"], row["message"]) == (
        "failed",
        "ValueError",
        "got 3, wanted an even number",
    )
    assert halve({**row, "number": 6}) == {**row, "number": 6}


def test_a_fault_of_the_program_is_not_taken_for_a_fault_of_the_item() -> None:
    with pytest.raises(TypeError):
        halve({**ROW, "number": None})


@pytest.mark.parametrize(
    ("fault", "attempt", "outcome"),
    [
        (NotAVideo("empty"), 1, "quarantined"),  # the same bytes will fail again
        (DecoderStopped("120 s"), 1, "failed"),
        (DecoderStopped("120 s"), 3, "quarantined"),
        (OSError("connection reset"), 2, "failed"),
    ],
)
def test_quarantine_after_the_last_attempt_or_at_once(fault: Exception, attempt: int, outcome: str) -> None:
    assert failure(fault, attempt, max_attempts=3)["outcome"] == outcome


def test_pending_leaves_what_is_settled_and_counts_attempts() -> None:
    items = [{"key": key} for key in "abcdea"]
    states = {
        "a": State("done", 1),
        "b": State("failed", 2),
        "c": State("quarantined", 3),
        "d": State("filtered", 1),
    }
    work = pending(items, states, run="now")
    assert [(item["key"], item["attempt"]) for item in work] == [("b", 3), ("e", 1)]


def test_inputs_are_the_sum_of_the_outcomes() -> None:
    items = [{"key": key} for key in "abcdefa"]
    states = {
        "a": State("done", 1),
        "b": State("failed", 1),
        "c": State("quarantined", 3),
        "z": State("done", 1),
    }
    counts = count(items, states)
    assert counts["inputs"] == 6
    assert counts["inputs"] == sum(counts[name] for name in ("done", "filtered", "quarantined", "pending"))
    assert (counts["done"], counts["quarantined"], counts["pending"]) == (1, 1, 4)
