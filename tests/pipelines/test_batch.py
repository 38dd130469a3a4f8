"""Failures become rows, sums add up, and what is settled is not done again."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from equivdm.errors import DecoderStopped, NotAVideo
from pipelines.batch import (
    Row,
    Run,
    commit_stream,
    count,
    failure,
    new_run,
    pending,
    record_crashes,
    settle,
    step,
    summarise,
)
from pipelines.config import StoreConfig
from pipelines.store import open_store
from pipelines.tables import Receipt, State, Table

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


def test_a_long_message_is_cut_and_an_empty_one_kept() -> None:
    assert len(failure(OSError("x" * 5000), 1, 3)["message"]) == 2000
    assert failure(MemoryError(), 1, 3) == {"outcome": "failed", "error": "MemoryError", "message": ""}


def test_no_two_runs_have_one_name() -> None:
    assert len({new_run() for _ in range(50)}) == 50


@dataclass
class Arriving:
    """A dataset whose receipts arrive one by one, until something breaks."""

    receipts: list[Row]
    fault: BaseException | None = None

    def iter_rows(self) -> Iterator[Row]:
        yield from self.receipts
        if self.fault is not None:
            raise self.fault


ITEMS = [{"key": key, "path": f"{key}.mp4", "attempt": 1, "max_attempts": 3, "run": "now"} for key in "abc"]


@pytest.fixture
def clips(tmp_path: Path) -> Table:
    return open_store(StoreConfig(root=str(tmp_path))).table("clips")


def streamed(clips: Table, dataset: Any, every_s: float = 0.0) -> list[Receipt]:
    return commit_stream(dataset, clips, every_s, "test", len(ITEMS))


@pytest.mark.parametrize("every_s", [0.0, 3600.0])
def test_receipts_are_committed_however_seldom(clips: Table, every_s: float) -> None:
    committed = streamed(clips, Arriving([settle(item, clips) for item in ITEMS]), every_s)
    assert [receipt.path for receipt in committed] == ["a.mp4", "b.mp4", "c.mp4"]
    assert clips.states() == {key: State("done", 1) for key in "abc"}


@pytest.mark.parametrize("fault", [RuntimeError("lost"), KeyboardInterrupt()])
def test_what_has_arrived_is_committed_before_the_fault_goes_on(clips: Table, fault: BaseException) -> None:
    with pytest.raises(type(fault)):
        streamed(clips, Arriving([settle(item, clips) for item in ITEMS[:2]], fault), 3600.0)
    assert set(clips.states()) == {"a", "b"}


def test_a_settled_row_has_the_tables_columns_and_no_others(clips: Table) -> None:
    receipt = settle({**ITEMS[0], "outcome": "filtered", "rule": "too_short", "pixels": b"left out"}, clips)
    streamed(clips, Arriving([receipt]))
    (row,) = clips.rows()
    assert (row["outcome"], row["rule"], row["run"], row["seconds"]) == ("filtered", "too_short", "now", None)
    assert row["created"] is not None
    assert list(row) == clips.schema.names


def test_an_item_that_left_nothing_behind_is_a_failed_row(clips: Table) -> None:
    committed = streamed(clips, Arriving([settle(ITEMS[0], clips)]))
    work = [ITEMS[0], ITEMS[1], {**ITEMS[2], "attempt": 3}]
    crashed = record_crashes(work, committed, clips)
    assert [(receipt.key, receipt.outcome) for receipt in crashed] == [("b", "failed"), ("c", "quarantined")]
    assert all("its worker process died" in str(receipt.message) for receipt in crashed)
    assert record_crashes(work, committed, clips) == []  # the next run would count them twice


def test_what_another_run_has_settled_meanwhile_is_no_crash(clips: Table) -> None:
    streamed(clips, Arriving([settle(ITEMS[1], clips)]))
    files = clips.filesystem.find(clips.folder)
    assert record_crashes([ITEMS[1]], [], clips) == []
    assert clips.filesystem.find(clips.folder) == files
    assert clips.states()["b"] == State("done", 1)


def test_a_run_adds_up_over_attempts(clips: Table) -> None:
    """Two runs over three items: one fails twice, and then stands in quarantine."""
    for attempt, outcome in ((1, "failed"), (2, "quarantined")):
        work = pending(ITEMS, clips.states(), "now")
        bad = failure(OSError("reset"), attempt, 2)
        rows = [settle(item | (bad if item["key"] == "b" else {}), clips) for item in work]
        summary = summarise(Run("test", "test"), ITEMS, clips, streamed(clips, Arriving(rows)))
        assert summary.failures == [("b.mp4", "OSError", "reset")]
        assert clips.states()["b"] == State(outcome, attempt)
        assert summary.counts["new"] == (2 if attempt == 1 else 0)
        assert not summary.ok
    assert pending(ITEMS, clips.states(), "now") == []
    assert (summary.counts["done"], summary.counts["quarantined"], summary.counts["pending"]) == (2, 1, 0)


def test_a_receipt_survives_as_a_plain_row(clips: Table) -> None:
    receipt = clips.write([{"key": "a", "outcome": "done", "attempt": 1}], path="a.mp4")
    assert Receipt(**asdict(receipt)) == receipt
