"""A key is settled once, by one run, in a folder and on S3; what no commit names does not exist."""

import hashlib
import pickle
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines import kept_log, tables
from pipelines.delta_log import DeltaLog, Receipt, Snapshot
from pipelines.schemas import from_tensor, to_tensor
from pipelines.states import State
from pipelines.store import Store
from pipelines.tables import Row, Table, sha256_of


def ended(name: str, outcome: str = "done", attempt: int = 1, **columns: Any) -> Row:
    return {"key": name, "outcome": outcome, "attempt": attempt, **columns}


def part(table: Table, name: str, value: float = 0.0) -> Receipt:
    return table.write({"key": name, "latents": to_tensor(np.full(3, value, np.float16))})


def keys_of(table: Table) -> list[str]:
    return [row["key"] for row in table.rows(["key"])]


def at_once(calls: Sequence[Callable[[], object]]) -> None:
    """Run all at the same moment, and wait for them."""
    gate = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> None:
        gate.wait()
        call()

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_table_that_nobody_wrote_is_empty(store: Store) -> None:
    clips = store.table("clips")
    assert clips.states() == {}
    assert clips.rows() == []
    assert list(clips.batches(["key"], 10)) == []


def test_a_part_exists_from_its_commit_on(store: Store) -> None:
    latents, values = store.table("latents"), np.arange(6, dtype=np.float16).reshape(2, 3)
    receipt = latents.write({"key": "a", "latents": to_tensor(values)})
    assert latents.rows() == []
    assert latents.commit([receipt]) == [receipt]
    (row,) = latents.rows(["key", "latents"])
    np.testing.assert_array_equal(from_tensor(row["latents"]), values)
    assert latents.states() == {"a": State("done", 1)}
    assert latents.files_of(["b", "a"]) == [None, receipt.file]


def test_the_log_holds_size_and_hash_of_each_file(store: Store) -> None:
    latents, clips = store.table("latents"), store.table("clips")
    latents.commit([part(latents, "a"), part(latents, "b", 1.0)])
    clips.append([ended("a"), ended("b")])
    assert sorted(str(file.key) for file in latents.files()) == ["a", "b"]
    assert [file.key for file in clips.files()] == [None]
    for table in (latents, clips):
        for file in table.files():
            data = table.read_file(file.name)
            assert (len(data), hashlib.sha256(data).hexdigest()) == (file.bytes, sha256_of(file.name))


def test_a_part_that_is_there_is_not_committed_again(store: Store) -> None:
    latents = store.table("latents")
    latents.commit([part(latents, "a", 1.0)])
    again, fresh, copy = part(latents, "a", 2.0), part(latents, "b", 1.0), part(latents, "b", 3.0)
    assert latents.commit([again, fresh, copy]) == [fresh]
    assert [from_tensor(row["latents"])[0] for row in latents.rows(["latents"])] == [1.0, 1.0]


def test_a_failed_key_may_be_tried_again_but_not_counted_twice(store: Store) -> None:
    clips = store.table("clips")
    first, rival = ended("a", "failed", error="DecoderStopped"), ended("a", "failed", error="OSError")
    assert clips.append([first]) == [first]
    assert clips.append([rival]) == []
    second = ended("a", "done", 2)
    assert clips.append([second]) == [second]
    assert clips.states() == {"a": State("done", 2)}


def test_append_drops_keys_that_are_settled_and_rivals_in_one_call(store: Store) -> None:
    manifest = store.table("manifest")
    windows = [{"key": "a", "window": number} for number in range(2)]
    assert manifest.append(windows) == windows
    assert manifest.append([{"key": "a", "window": 0}, {"key": "b", "window": 0}]) == [{"key": "b", "window": 0}]
    found = sorted((row["key"], row["window"]) for row in manifest.rows(["key", "window"]))
    assert found == [("a", 0), ("a", 1), ("b", 0)]
    clips = store.table("clips")
    assert clips.append([ended("a", attempt=1), ended("a", "failed", 1)]) == [ended("a", attempt=1)]


def test_reading_some_keys_reads_only_their_files(store: Store) -> None:
    latents = store.table("latents")
    latents.commit([part(latents, name) for name in "abcd"])
    for file in latents.files():
        if file.key in ("b", "d"):
            latents.filesystem.pipe_file(f"{latents.folder}/{file.name}", b"no parquet")
    assert [row["key"] for row in latents.rows(["key"], ["c", "a", "z"])] == ["a", "c"]


def test_batches_hold_all_rows_in_parts_of_at_least_so_many(store: Store) -> None:
    clips = store.table("clips")
    for name in "abcde":
        clips.append([ended(name)])
    parts = [part["key"].to_pylist() for part in clips.batches(["key"], 2)]
    assert [len(part) for part in parts] == [2, 2, 1]
    assert sorted(key for part in parts for key in part) == list("abcde")


def test_overlapping_runs_settle_each_key_once(store: Store) -> None:
    """Four runs append the same 12 keys at the same time, one by one: 12 rows, and each says it did its own share.

    Two of them are threads of one process.
    """
    names = [f"{number:02d}" for number in range(12)]
    won: list[str] = []

    def run(seed: int) -> None:
        clips = (store if seed < 2 else replace(store, _tables={})).table("clips")
        for name in np.random.default_rng(seed).permutation(names):
            won.extend(row["key"] for row in clips.append([ended(str(name), seconds=float(seed))]))

    at_once([lambda seed=seed: run(seed) for seed in range(4)])
    assert sorted(won) == names
    assert keys_of(store.table("clips")) == names


def test_runs_that_begin_in_the_same_moment_share_one_new_table(store: Store) -> None:
    """Eight first commits to a table that nobody has created yet."""
    won: list[Receipt] = []

    def run(number: int) -> None:
        latents = replace(store, _tables={}).table("latents")
        won.extend(latents.commit([part(latents, f"{number}")]))

    at_once([lambda number=number: run(number) for number in range(8)])
    assert sorted(receipt.key for receipt in won) == keys_of(store.table("latents"))
    assert len(won) == 8


def test_a_writer_reads_the_whole_log_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    snapshot = DeltaLog.snapshot

    def look(log: DeltaLog) -> Snapshot:
        looked.append(log.table)
        return snapshot(log)

    monkeypatch.setattr(DeltaLog, "snapshot", look)
    own, other = (replace(store, _tables={}).table("clips") for _ in range(2))
    own.append([ended("a", "failed", 1), ended("b")])
    own.append([ended("a", "done", 2), ended("b", "failed", 2), ended("c")])
    own.beside("latents").commit([part(own.beside("latents"), "a")])
    own.beside("latents").commit([part(own.beside("latents"), "a"), part(own.beside("latents"), "b")])
    assert own.append([ended("a"), ended("b"), ended("c")]) == []
    other.append([ended("d")])
    assert own.append([ended("c"), ended("d"), ended("e")])[0]["key"] == "e"
    assert own.append([ended("d"), ended("f")])[0]["key"] == "f"
    assert own.states() == {"a": State("done", 2), **{key: State("done", 1) for key in "bcdef"}}
    assert looked.count("clips") == 2  # each of the two once; what the other added is followed


def test_a_writer_that_rested_for_long_reads_the_whole_log_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it would follow may be gone by then, and a version that is gone would seem to be free."""
    own, other = (replace(store, _tables={}).table("clips") for _ in range(2))
    own.append([ended("a")])
    other.append([ended("b")])
    log = DeltaLog("clips", own.folder, store.filesystem)
    log.write_checkpoint()
    store.filesystem.rm_file(f"{own.folder}/_delta_log/{1:020d}.json")
    monkeypatch.setattr(kept_log, "_KNOWN_S", 0.0)
    assert own.append([ended("b"), ended("c")]) == [ended("c")]
    assert (log.snapshot().version, keys_of(own)) == (2, ["a", "b", "c"])


def test_a_column_that_a_release_adds_is_null_in_rows_of_before(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as before:
        columns = [column for column in tables.SCHEMAS["clips"] if column.name != "caption"]
        before.setitem(tables.SCHEMAS, "clips", pa.schema(columns))  # type: ignore[arg-type]  # a dict, read as a Mapping
        store.table("clips").append([ended("a")])
    after = replace(store, _tables={}).table("clips")
    after.append([ended("b", caption="a pan")])
    assert [(row["key"], row["caption"]) for row in after.rows()] == [("a", None), ("b", "a pan")]


def test_what_is_settled_stays_so_whatever_a_later_attempt_says(store: Store) -> None:
    clips, outcomes = store.table("clips"), ("done", "filtered", "quarantined")
    clips.append([ended(outcome, outcome, 3) for outcome in outcomes])
    assert clips.append([ended(outcome, "done", 4) for outcome in outcomes]) == []
    assert clips.states() == {outcome: State(outcome, 3) for outcome in outcomes}


def test_what_a_person_decides_may_replace_an_outcome(store: Store) -> None:
    clips = store.table("clips")
    clips.append([ended("a", "quarantined", 3), ended("b", "done")])
    decided = [ended("a", "retry", 4), ended("b", "retry", 2)]
    assert clips.append(decided) == []
    assert clips.append(decided, over={"quarantined"}) == decided[:1]
    assert clips.states() == {"a": State("retry", 4), "b": State("done", 1)}
    assert clips.append([ended("a", "done", 5)]) == [ended("a", "done", 5)]
    assert clips.states()["a"] == State("done", 5)


def test_states_are_those_of_now_though_files_are_read_once(store: Store) -> None:
    mine, other = store.table("clips"), store.table("clips")
    mine.append([ended("a")])
    assert len(mine.states()) == 1
    other.append([ended("b")])
    assert set(mine.states()) == {"a", "b"}
    assert set(pickle.loads(pickle.dumps(mine)).states()) == {"a", "b"}


def test_committing_nothing_and_appending_nothing_do_nothing(store: Store) -> None:
    clips = store.table("clips")
    assert clips.commit([]) == []
    assert clips.append([]) == []
    assert (clips.files(), clips.rows()) == ([], [])


def test_the_same_rows_have_the_same_file_name(store: Store) -> None:
    latents = store.table("latents")
    first, again, other = part(latents, "a", 1.0), part(latents, "a", 1.0), part(latents, "a", 2.0)
    assert first == again
    assert first.file != other.file
    assert first.file.startswith("a-")


def test_a_damaged_file_can_be_left_out(store: Store) -> None:
    latents = store.table("latents")
    first, second = part(latents, "a"), part(latents, "b")
    latents.commit([first, second])
    latents.filesystem.pipe_file(f"{latents.folder}/{first.file}", b"no parquet")
    assert [row["key"] for row in latents.rows(["key"], without={first.file})] == ["b"]


def test_rows_come_by_key_and_metric_whatever_the_order_of_commits(store: Store) -> None:
    metrics = store.table("metrics")
    for name in ("b", "a"):
        metrics.append([ended(name, metric=metric, value=1.0) for metric in ("flicker", "epe")])
    found = [(row["key"], row["metric"]) for row in metrics.rows(["key", "metric"])]
    assert found == [("a", "epe"), ("a", "flicker"), ("b", "epe"), ("b", "flicker")]
    assert metrics.read(["value"], ["a"]).column_names == ["value"]


@pytest.mark.parametrize("name", ["../escape", "/etc/passwd", "a/../../b"])
def test_no_name_leaves_the_store(store: Store, name: str) -> None:
    with pytest.raises(ValueError, match="relative path"):
        store.path(name)
