"""The log as the Delta protocol has it: against a plain replay, and against deltalake, which reads and writes it."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from fsspec.implementations.local import LocalFileSystem
from hypothesis import given
from hypothesis import strategies as st

from equivdm.errors import EquivdmError
from pipelines import delta_checkpoint, kept_log
from pipelines.delta_actions import Action, add_action, creation, data_files, said
from pipelines.delta_log import DeltaLog
from pipelines.schemas import SCHEMAS
from pipelines.states import State
from pipelines.store import Store
from pipelines.tables import Table

LOOKS = SCHEMAS["looks"]


def log_in(folder: Path) -> DeltaLog:
    log = DeltaLog("looks", str(folder), LocalFileSystem())
    log.commit(0, creation(LOOKS))
    return log


def files(log: DeltaLog) -> dict[str, tuple[int, str | None]]:
    found = pa.concat_tables([data_files(said([]).added), *log.files()]).to_pylist()
    assert len({row["name"] for row in found}) == len(found)
    return {row["name"]: (row["bytes"], row["key"]) for row in found}


def in_deltalake(table: Table) -> DeltaTable:
    """The same table, opened by the library."""
    if not table.url.startswith("s3://"):
        return DeltaTable(table.url)
    return DeltaTable(
        table.url, storage_options={"AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"], "AWS_ALLOW_HTTP": "true"}
    )


def named(delta: DeltaTable) -> dict[str, tuple[int, str | None]]:
    """What the library says of a table's data files."""
    found = pa.table(delta.get_add_actions(flatten=True)).to_pylist()
    single = {row["path"]: row["min.key"] if row["min.key"] == row["max.key"] else None for row in found}
    return {row["path"]: (row["size_bytes"], single[row["path"]]) for row in found}


def parts(table: Table, names: str) -> None:
    table.commit([table.write({"key": name}) for name in names])


# Against a plain replay

ACTION = st.tuples(st.sampled_from(["add", "add", "remove"]), st.sampled_from("abcde"), st.integers(1, 9))
COMMITS = st.lists(st.lists(ACTION, min_size=1, max_size=4, unique_by=lambda each: each[1]))


def replay(known: dict[str, int], commits: list[list[Any]]) -> dict[str, int]:
    """The protocol in plain words: the last that is said of a path holds."""
    known = dict(known)
    for kind, name, size in (action for commit in commits for action in commit):
        known.pop(name, None)
        if kind == "add":
            known[name] = size
    return known


def write(log: DeltaLog, commits: list[list[Any]], checkpoint: int = -1) -> None:
    """Commit adds and removes. What is added again, while it is there, is said to change no data."""
    known: dict[str, int] = {}
    for version, commit in enumerate(commits, 1):
        log.commit(version, [line(*action, changes=action[1] not in known) for action in commit])
        known = replay(known, [commit])
        if version == checkpoint:
            log.write_checkpoint()


def line(kind: str, name: str, size: int, changes: bool) -> Action:
    if kind == "remove":
        return {"remove": {"path": name, "deletionTimestamp": 1, "dataChange": True}}
    return {"add": {**add_action(name, size, 1, name)["add"], "dataChange": changes}}


@given(COMMITS, st.integers(0, 10))
def test_a_log_says_what_a_replay_of_its_lines_says(
    tmp_path_factory: pytest.TempPathFactory, commits: list[list[Any]], checkpoint: int
) -> None:
    log = log_in(tmp_path_factory.mktemp("log"))
    write(log, commits, checkpoint)
    expected = replay({}, commits)
    assert {name: size for name, (size, _) in files(log).items()} == expected
    assert all(key == name for name, (_, key) in files(log).items())
    assert log.snapshot().version == len(commits)


@given(COMMITS, COMMITS)
def test_who_follows_a_log_is_told_what_is_new(
    tmp_path_factory: pytest.TempPathFactory, before: list[list[Any]], after: list[list[Any]]
) -> None:
    log = log_in(tmp_path_factory.mktemp("log"))
    write(log, before + after)
    version, new = log.follow(len(before))
    assert version == len(before + after)
    known = replay({}, before)
    changed = set(new.changed.to_pylist())
    found = {row["name"]: row["bytes"] for row in data_files(new.added).to_pylist()}
    assert {name: size for name, size in known.items() if name not in changed} | found == replay(known, after)


def test_a_version_is_written_once(store: Store) -> None:
    log = DeltaLog("looks", store.path("looks"), store.filesystem)
    log.commit(0, creation(LOOKS))
    log.commit(1, [add_action("a.parquet", 1, 1, "a")])
    with pytest.raises(FileExistsError):
        log.commit(1, [add_action("b.parquet", 1, 1, "b")])
    assert set(files(log)) == {"a.parquet"}
    assert [name for name in store.filesystem.ls(store.path("looks"), detail=False) if "partial" in name] == []


# Against deltalake


@pytest.fixture
def looks(store: Store) -> Table:
    """A table of three commits."""
    table = store.table("looks")
    for names in ("ab", "c", "d"):
        parts(table, names)
    return table


def test_deltalake_reads_what_is_committed_and_checkpointed(looks: Table, store: Store) -> None:
    log = DeltaLog("looks", looks.folder, looks.filesystem)
    assert named(in_deltalake(looks)) == files(log)
    log.write_checkpoint()
    for version in range(3):
        store.filesystem.rm_file(f"{looks.folder}/_delta_log/{version:020d}.json")
    parts(looks, "e")
    delta = in_deltalake(looks)
    assert (delta.version(), named(delta)) == (3, files(log))
    assert sorted(key for _, key in files(log).values() if key) == list("abcde")
    rows = pa.table(delta.to_pyarrow_table()).sort_by("key")  # type: ignore[arg-type]
    assert rows["key"].to_pylist() == looks.read(["key"])["key"].to_pylist()


def test_what_deltalake_checkpoints_is_read(looks: Table) -> None:
    log, before = DeltaLog("looks", looks.folder, looks.filesystem), looks.log()
    in_deltalake(looks).create_checkpoint()
    assert log.snapshot().commits == 0
    assert looks.log().sort_by("name") == before.sort_by("name")
    log.write_checkpoint()  # from the library's own
    parts(looks, "e")
    log.write_checkpoint()
    assert named(in_deltalake(looks)) == files(log)
    assert in_deltalake(looks).metadata().created_time is not None


def test_what_another_program_compacts_stays_the_same_table(store: Store) -> None:
    clips = store.table("clips")
    rows = [{"key": name, "outcome": "done", "attempt": 1, "path": name} for name in "abc"]
    for row in rows:
        clips.append([row])
    before = clips.rows()
    in_deltalake(clips).optimize.compact()
    assert len(clips.files()) == 1
    assert clips.rows() == before
    assert clips.append(rows) == []
    later = {"key": "d", "outcome": "failed", "attempt": 1}
    assert clips.append([later]) == [later]
    DeltaLog("clips", clips.folder, clips.filesystem).write_checkpoint()
    fresh = replace(store, _tables={}).table("clips")
    assert fresh.states() == {"d": State("failed", 1), **dict.fromkeys("abc", State("done", 1))}


def test_names_are_written_as_in_a_url(store: Store) -> None:
    looks = store.table("looks")
    receipt = looks.write({"key": "100% of it"})
    assert looks.commit([receipt]) == [receipt]
    assert receipt.file.startswith("100% of it-")
    assert looks.files_of(["100% of it"]) == [receipt.file]
    assert in_deltalake(looks).to_pyarrow_table().column("key").to_pylist() == ["100% of it"]


# Checkpoints


def test_a_writer_leaves_checkpoints_and_reading_begins_there(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_log, "_COMMITS", 3)
    looks = store.table("looks")
    for name in "abcdefgh":
        parts(looks, name)
    log = DeltaLog("looks", looks.folder, looks.filesystem)
    assert (log.snapshot().version, log.snapshot().commits) == (7, 2)
    assert json.loads(store.filesystem.cat_file(f"{looks.folder}/_delta_log/_last_checkpoint"))["version"] == 5
    for version in range(6):
        store.filesystem.rm_file(f"{looks.folder}/_delta_log/{version:020d}.json")
    assert set(replace(store, _tables={}).table("looks").states()) == set("abcdefgh")


def test_a_checkpoint_waits_until_a_share_of_the_table_is_new(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_log, "_COMMITS", 1)
    looks = store.table("looks")
    log = DeltaLog("looks", looks.folder, looks.filesystem)
    parts(looks, "".join(chr(number) for number in range(97, 122)))
    assert log.snapshot().commits == 0
    parts(looks, "A")
    parts(looks, "B")
    assert log.snapshot().commits == 2  # two of 27
    parts(looks, "C")
    assert log.snapshot().commits == 0


def test_a_checkpoint_that_fails_costs_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(kept_log, "_COMMITS", 1)
    monkeypatch.setattr(delta_checkpoint, "write", fail)
    looks = store.table("looks")
    parts(looks, "a")
    parts(looks, "b")
    assert set(looks.states()) == {"a", "b"}


def test_a_checkpoint_that_breaks_off_is_not_there(store: Store) -> None:
    def entries() -> Iterator[pa.Table]:
        yield said([json.dumps(add_action("a.parquet", 1, 1, "a")).encode()]).added
        raise OSError("the one before cannot be read")

    parts(store.table("looks"), "a")
    folder = store.path("looks")
    with pytest.raises(OSError, match="cannot be read"):
        delta_checkpoint.write(store.filesystem, folder, 0, {}, entries())
    assert DeltaLog("looks", folder, store.filesystem).snapshot().checkpoint == []


def split(log: DeltaLog, version: int, whole: bool) -> None:
    """Make several files of a checkpoint's one, as other programs do; one of them may be missing."""
    folder = Path(log.folder, "_delta_log")
    one = folder / f"{version:020d}.checkpoint.parquet"
    rows = pa.parquet.read_table(one)
    for number in range(1, 4 if whole else 3):
        part = rows.slice((number - 1) * 2, 2 if number < 3 else None)
        pa.parquet.write_table(part, folder / f"{version:020d}.checkpoint.{number:010d}.{3:010d}.parquet")
    one.unlink()


@pytest.mark.parametrize("whole", [True, False])
def test_a_checkpoint_of_several_files_counts_when_all_are_there(tmp_path: Path, whole: bool) -> None:
    log = log_in(tmp_path)
    for version, name in enumerate("abcd", 1):
        log.commit(version, [add_action(name, 1, 1, name)])
    log.write_checkpoint()
    split(log, 4, whole)
    assert log.snapshot().commits == (0 if whole else 5)
    assert set(files(log)) == set("abcd")


# What is refused


def changes() -> Iterator[Action]:
    yield {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["deletionVectors"]}}
    yield {"protocol": {"minReaderVersion": 1, "minWriterVersion": 4}}
    yield {"metaData": {**creation(LOOKS)[1]["metaData"], "partitionColumns": ["run"]}}


@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.parametrize("change", [*changes()])
def test_a_table_that_another_program_has_changed_is_refused(
    store: Store, change: Action, checkpoint: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = store.table("looks")
    parts(looks, "a")
    log = DeltaLog("looks", looks.folder, looks.filesystem)
    log.commit(1, [change])
    if checkpoint:
        with monkeypatch.context() as other:
            other.setattr(DeltaLog, "_check", lambda *_: None)
            log.write_checkpoint()
        store.filesystem.rm_file(f"{looks.folder}/_delta_log/{0:020d}.json")
        store.filesystem.rm_file(f"{looks.folder}/_delta_log/{1:020d}.json")
    for each in ([] if checkpoint else [looks]) + [replace(store, _tables={}).table("looks")]:
        with pytest.raises(EquivdmError, match=r"table looks: got a Delta table for readers .*wanted 1 and 2, without"):
            parts(each, "b")


def test_a_log_without_its_beginning_is_refused(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    log.commit(1, [add_action("a", 1, 1, "a")])
    Path(tmp_path, "_delta_log", f"{0:020d}.json").unlink()
    with pytest.raises(EquivdmError, match="got a log without version 0 or a checkpoint"):
        log.snapshot()


def test_a_checkpoint_that_python_would_have_to_read_is_refused(tmp_path: Path) -> None:
    from ray.data._internal.object_extensions.arrow import ArrowPythonObjectType  # registers it, as ray.data does

    log = log_in(tmp_path)
    planted = pa.table({"protocol": pa.nulls(1, pa.struct({"minReaderVersion": ArrowPythonObjectType()}))})
    pa.parquet.write_table(planted, tmp_path / "_delta_log" / f"{0:020d}.checkpoint.parquet")
    with pytest.raises(EquivdmError, match=r"0\.checkpoint\.parquet: got types of Python's, wanted Arrow's own"):
        log.write_checkpoint()
