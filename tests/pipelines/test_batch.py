"""Failures become rows, sums add up, and what is settled is not done again."""

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from botocore.exceptions import EndpointConnectionError

from equivdm.errors import DecoderStopped, NotAVideo, StoreUnwell
from pipelines.batch import (
    Ended,
    Items,
    as_items,
    commit_stream,
    count,
    pending,
    record_crashes,
    summarise,
    waves,
)
from pipelines.config import EvaluateJob
from pipelines.record import Draft
from pipelines.settings import StoreConfig
from pipelines.states import SCHEMA, State, States
from pipelines.steps import failure, put, settle, step, written
from pipelines.store import Store, open_store
from pipelines.tables import Row, Table

ROW: Row = {"key": "a", "attempt": 1, "max_attempts": 3}


@step("halve")
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
        (OSError("input/output error"), 2, "failed"),
        (OSError("input/output error"), 3, "quarantined"),
        (ConnectionResetError("reset by peer"), 9, "failed"),  # it lies in the store, however often
        (OSError(errno.ENOSPC, "no space left on device"), 9, "failed"),
        (EndpointConnectionError(endpoint_url="http://store"), 9, "failed"),
        (StoreUnwell("s3://store/clips"), 9, "failed"),
        (PermissionError(errno.EACCES, "denied"), 3, "quarantined"),
    ],
)
def test_quarantine_after_the_last_attempt_or_at_once(fault: Exception, attempt: int, outcome: str) -> None:
    assert failure(fault, attempt, max_attempts=3)["outcome"] == outcome


def states(**ends: tuple[str, int]) -> States:
    return States(pa.table([list(ends), *map(list, zip(*ends.values(), strict=True))], schema=SCHEMA))


def test_pending_leaves_what_is_settled_and_counts_attempts() -> None:
    known = states(a=("done", 1), b=("failed", 2), c=("quarantined", 3), d=("filtered", 1))
    work = pending(pa.table({"key": list("abcdea")}), known, run="now").to_pylist()
    assert work == [{"key": "b", "attempt": 3, "run": "now"}, {"key": "e", "attempt": 1, "run": "now"}]


def test_of_copies_the_first_is_worked_on() -> None:
    items = pa.table({"key": list("abab"), "path": list("1234")})
    work = pending(items, States(SCHEMA.empty_table()), "now").to_pylist()
    assert [(row["key"], row["path"]) for row in work] == [("a", "1"), ("b", "2")]


def test_inputs_are_the_sum_of_the_outcomes() -> None:
    known = states(a=("done", 1), b=("failed", 1), c=("quarantined", 3), z=("done", 1))
    counts = count(pa.array(list("abcdefa")), known)
    assert counts["inputs"] == 6
    assert counts["inputs"] == sum(counts[name] for name in ("done", "filtered", "quarantined", "pending"))
    assert (counts["done"], counts["quarantined"], counts["pending"]) == (1, 1, 4)


def test_a_long_message_is_cut_and_an_empty_one_kept() -> None:
    assert len(failure(OSError("x" * 5000), 1, 3)["message"]) == 2000
    told = {"outcome": "failed", "error": "MemoryError", "message": "", "passing": False}
    assert failure(MemoryError(), 1, 3) == told


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
def store(tmp_path: Path) -> Store:
    return open_store(StoreConfig(root=str(tmp_path)))


@pytest.fixture
def clips(store: Store) -> Table:
    return store.table("clips")


def no_bar(n: int = 1, **facts: object) -> None:
    del n, facts


def draft(every_s: float = 1e-6) -> Draft:
    return Draft("evaluate", EvaluateJob(store=StoreConfig(root="unused", commit_every_s=every_s), renders=("a",)))


def streamed(clips: Table, settled: list[Row], fault: BaseException | None = None, every_s: float = 1e-6) -> list[Row]:
    dataset: Any = Arriving(settled, fault)
    added: list[Row] = []
    arrived: list[str] = []
    commit_stream(dataset, clips, draft(every_s), no_bar, arrived.append, added.extend)
    assert arrived == [row["key"] for item in settled for row in item["rows"]]
    return added


@pytest.mark.parametrize("every_s", [1e-6, 3600.0])
def test_what_is_settled_is_committed_however_seldom(clips: Table, every_s: float) -> None:
    added = streamed(clips, [settle(item, clips) for item in ITEMS], every_s=every_s)
    assert [row["path"] for row in added] == ["a.mp4", "b.mp4", "c.mp4"]
    assert clips.states() == {key: State("done", 1) for key in "abc"}


@pytest.mark.parametrize("fault", [RuntimeError("lost"), KeyboardInterrupt()])
def test_what_has_arrived_is_committed_before_the_fault_goes_on(clips: Table, fault: BaseException) -> None:
    with pytest.raises(type(fault)):
        streamed(clips, [settle(item, clips) for item in ITEMS[:2]], fault, 3600.0)
    assert set(clips.states()) == {"a", "b"}


def test_a_settled_row_has_the_tables_columns_and_no_others(clips: Table) -> None:
    streamed(clips, [settle({**ITEMS[0], "outcome": "filtered", "rule": "too_short", "pixels": b"left out"}, clips)])
    (row,) = clips.rows()
    assert (row["outcome"], row["rule"], row["run"], row["seconds"]) == ("filtered", "too_short", "now", None)
    assert row["created"] is not None
    assert list(row) == clips.schema.names


def test_parts_are_in_their_tables_when_the_row_that_names_them_is(store: Store, clips: Table) -> None:
    row = ITEMS[0] | put(ITEMS[0], store.table("plans"), "p", plan=b"one")
    row |= put(row, store.table("looks"), "l")
    assert written(row) == sum(part["bytes"] for part in row["parts"]) > 0
    assert (store.table("plans").states(), store.table("looks").states()) == ({}, {})
    failed = {**ITEMS[1], **put(ITEMS[1], store.table("plans"), "q", plan=b"two"), **failure(OSError("reset"), 1, 3)}
    streamed(clips, [settle(row, clips), settle(failed, clips)])
    assert store.table("plans").rows(["key", "plan", "run"]) == [
        {"key": "p", "plan": b"one", "run": "now"},
        {"key": "q", "plan": b"two", "run": "now"},  # the next attempt at the failed item finds it
    ]
    assert set(store.table("looks").states()) == {"l"}
    assert clips.states() == {"a": State("done", 1), "b": State("failed", 1)}


def test_an_item_that_left_nothing_behind_is_a_failed_row(clips: Table) -> None:
    lost = [ITEMS[1], {**ITEMS[2], "attempt": 3}]
    crashed = record_crashes(lost, clips)
    assert [(row["key"], row["outcome"]) for row in crashed] == [("b", "failed"), ("c", "quarantined")]
    assert all("its worker process died" in row["message"] for row in crashed)
    assert record_crashes(lost, clips) == []  # the next run would count them twice


def test_what_another_run_has_settled_meanwhile_is_no_crash(clips: Table) -> None:
    streamed(clips, [settle(ITEMS[1], clips)])
    assert record_crashes([ITEMS[1]], clips) == []
    assert clips.states()["b"] == State("done", 1)


def test_a_run_adds_up_over_attempts(clips: Table) -> None:
    """Two runs over three items: one fails twice, and then stands in quarantine."""
    items = as_items([{name: item[name] for name in ("key", "path", "max_attempts")} for item in ITEMS])
    for attempt, outcome in ((1, "failed"), (2, "quarantined")):
        (work,) = waves(items, clips, "now")
        bad = failure(OSError("reset"), attempt, 2)
        told = draft()
        ended = Ended(told)
        ended.add(streamed(clips, [settle(item | (bad if item["key"] == "b" else {}), clips) for item in work]))
        summary = summarise(told, items, clips, ended)
        assert summary.failures == [("b.mp4", "OSError", "reset")]
        assert clips.states()["b"] == State(outcome, attempt)
        assert summary.counts["new"] == (2 if attempt == 1 else 0)
        assert not summary.ok
    assert list(waves(items, clips, "now")) == []
    assert (summary.counts["done"], summary.counts["quarantined"], summary.counts["pending"]) == (2, 1, 0)


def test_no_items_are_no_work(clips: Table) -> None:
    assert list(waves(as_items([]), clips, "now")) == []
    assert count(as_items([]).keys, clips.states())["inputs"] == 0


def test_waves_are_cut_and_see_what_was_settled_meanwhile(clips: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.batch.WAVE", 2)
    batches = [pa.table({"key": list("abc")}), pa.table({"key": list("cd")})]
    found = []
    for wave in waves(Items(pa.array(list("abcd")), lambda: batches), clips, "now"):
        found.append([item["key"] for item in wave])
        clips.append([{"key": item["key"], "outcome": "done", "attempt": 1} for item in wave])
    assert found == [["a", "b"], ["c"], ["d"]]  # the second batch's c is settled by then
