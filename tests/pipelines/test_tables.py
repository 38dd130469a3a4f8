"""A key is settled once, by one run, in a folder and on S3; what no commit names does not exist."""

import hashlib
import threading

import numpy as np
import pytest

from pipelines.schemas import from_tensor, to_tensor
from pipelines.store import Store
from pipelines.tables import Receipt, State, Table, sha256_of


def done(table: Table, name: str, **columns: object) -> Receipt:
    return table.write([{"key": name, "outcome": "done", "attempt": 1, **columns}])


def test_a_table_that_nobody_wrote_is_empty(store: Store) -> None:
    clips = store.table("clips")
    assert clips.states() == {}
    assert clips.rows() == []


def test_rows_exist_from_their_commit_on(store: Store) -> None:
    clips, latents = store.table("clips"), np.arange(6, dtype=np.float16).reshape(2, 3)
    receipt = done(clips, "a", latents=to_tensor(latents))
    assert clips.rows() == []
    assert clips.commit([receipt]) == [receipt]
    (row,) = clips.rows(["key", "latents"])
    assert row["key"] == "a"
    np.testing.assert_array_equal(from_tensor(row["latents"]), latents)
    assert clips.states() == {"a": State("done", 1)}


def test_the_log_holds_size_and_hash_of_each_file(store: Store) -> None:
    clips = store.table("clips")
    clips.commit([done(clips, "a"), done(clips, "b")])
    for file in clips.files():
        data = clips.read_file(file.name)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.bytes, sha256_of(file.name))


def test_a_settled_key_is_not_committed_again(store: Store) -> None:
    clips = store.table("clips")
    clips.commit([done(clips, "a", seconds=1.0)])
    again, fresh = done(clips, "a", seconds=2.0), done(clips, "b")
    assert clips.commit([again, fresh, done(clips, "b", seconds=3.0)]) == [fresh]
    assert [row["seconds"] for row in clips.rows(["seconds"], ["a"])] == [1.0]


def test_a_failed_key_may_be_tried_again_but_not_counted_twice(store: Store) -> None:
    clips = store.table("clips")
    first = clips.write([{"key": "a", "outcome": "failed", "attempt": 1, "error": "DecoderStopped"}])
    rival = clips.write([{"key": "a", "outcome": "failed", "attempt": 1, "error": "OSError"}])
    assert clips.commit([first]) == [first]
    assert clips.commit([rival]) == []
    second = clips.write([{"key": "a", "outcome": "done", "attempt": 2}])
    assert clips.commit([second]) == [second]
    assert clips.states() == {"a": State("done", 2)}


def test_append_drops_keys_that_are_there(store: Store) -> None:
    manifest = store.table("manifest")
    assert manifest.append([{"key": "a", "window": 0}, {"key": "a", "window": 1}]) == 2
    assert manifest.append([{"key": "a", "window": 0}, {"key": "b", "window": 0}]) == 1
    assert sorted((row["key"], row["window"]) for row in manifest.rows(["key", "window"])) == [
        ("a", 0),
        ("a", 1),
        ("b", 0),
    ]


def test_reading_some_keys_reads_only_their_files(store: Store) -> None:
    clips = store.table("clips")
    clips.commit([done(clips, name, path=f"{name}.mp4") for name in "abcd"])
    assert [row["path"] for row in clips.rows(["path"], ["c", "a", "z"])] == ["a.mp4", "c.mp4"]


def test_overlapping_runs_settle_each_key_once(store: Store) -> None:
    """Four runs commit the same 12 keys at the same time, one by one: 12 rows, and each says it did its own share."""
    names = [f"{number:02d}" for number in range(12)]
    won: list[str] = []

    def run(seed: int) -> None:
        clips = store.table("clips")
        for name in np.random.default_rng(seed).permutation(names):
            won.extend(receipt.key for receipt in clips.commit([done(clips, str(name), seconds=float(seed))]))

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == names
    assert [row["key"] for row in store.table("clips").rows(["key"])] == names


def test_runs_that_begin_in_the_same_moment_share_one_new_table(store: Store) -> None:
    """Eight first commits to a table that nobody has created yet."""
    gate, won = threading.Barrier(8), list[Receipt]()

    def run(number: int) -> None:
        clips = store.table("clips")
        receipt = done(clips, f"{number}")
        gate.wait()
        won.extend(clips.commit([receipt]))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(receipt.key for receipt in won) == [row["key"] for row in store.table("clips").rows(["key"])]
    assert len(won) == 8


def test_what_is_settled_stays_so_whatever_a_later_attempt_says(store: Store) -> None:
    clips, outcomes = store.table("clips"), ("done", "filtered", "quarantined")
    clips.commit([clips.write([{"key": outcome, "outcome": outcome, "attempt": 3}]) for outcome in outcomes])
    again = [clips.write([{"key": outcome, "outcome": "done", "attempt": 4}]) for outcome in outcomes]
    assert clips.commit(again) == []
    assert clips.states() == {outcome: State(outcome, 3) for outcome in outcomes}


def test_committing_nothing_and_appending_nothing_do_nothing(store: Store) -> None:
    clips = store.table("clips")
    assert clips.commit([]) == []
    assert clips.append([]) == 0
    assert (clips.files(), clips.rows()) == ([], [])


def test_the_same_rows_have_the_same_file_name(store: Store) -> None:
    clips = store.table("clips")
    first, again, other = done(clips, "a", seconds=1.0), done(clips, "a", seconds=1.0), done(clips, "a", seconds=2.0)
    assert first == again
    assert first.file != other.file
    assert first.file.startswith("a-")


def test_a_damaged_file_can_be_left_out(store: Store) -> None:
    clips = store.table("clips")
    first, second = done(clips, "a"), done(clips, "b")
    clips.commit([first, second])
    clips.filesystem.pipe_file(f"{clips.folder}/{first.file}", b"no parquet")
    assert [row["key"] for row in clips.rows(["key"], without={first.file})] == ["b"]


def test_rows_come_by_key_and_metric_whatever_the_order_of_commits(store: Store) -> None:
    metrics = store.table("metrics")
    for name in ("b", "a"):
        values = [{"metric": metric, "value": 1.0} for metric in ("flicker", "epe")]
        metrics.commit([metrics.write([{"key": name, "outcome": "done", "attempt": 1, **value} for value in values])])
    found = [(row["key"], row["metric"]) for row in metrics.rows(["key", "metric"])]
    assert found == [("a", "epe"), ("a", "flicker"), ("b", "epe"), ("b", "flicker")]
    assert metrics.read(["value"], ["a"]).column_names == ["value"]


@pytest.mark.parametrize("name", ["../escape", "/etc/passwd", "a/../../b"])
def test_no_name_leaves_the_store(store: Store, name: str) -> None:
    with pytest.raises(ValueError, match="relative path"):
        store.path(name)
