"""An unwell S3 server costs seconds, not rows, and no row twice: real clients, a real server, faults between them."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from equivdm.errors import EquivdmError
from pipelines import patience
from pipelines.patience import Patience, patiently
from pipelines.settings import StoreConfig
from pipelines.store import Store, open_store
from pipelines.tables import Row, Table
from tests.faulty_s3 import Weather, faulty_s3

LOG = "/_delta_log/"


@pytest.fixture
def weather() -> Weather:
    """Clear, until a test says otherwise."""
    return Weather(stall_s=0.2)


@pytest.fixture
def store(weather: Weather, s3_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store on the S3 server, reached through the weather."""
    with faulty_s3(s3_endpoint, weather) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        yield open_store(StoreConfig(root=f"s3://videos/patience/{tmp_path.name}"))


def turns(weather: Weather, share: float, *kinds: str, only: str = "", at_most: float = float("inf")) -> None:
    weather.share, weather.kinds, weather.only, weather.at_most = share, kinds or weather.kinds, only, at_most


def ended(name: str, **columns: object) -> Row:
    return {"key": name, "outcome": "done", "attempt": 1, **columns}


def versions(table: Table) -> int:
    return len([name for name in table.filesystem.ls(f"{table.folder}/_delta_log", detail=False) if "json" in name])


@pytest.mark.parametrize("kind", ["applied_500", "applied_reset"])
def test_a_commit_whose_answer_was_lost_is_not_made_again_nor_taken_for_anothers(
    store: Store, weather: Weather, kind: str
) -> None:
    clips, looks = store.table("clips"), store.table("looks")
    clips.append([ended("a")])
    looks.commit([looks.write({"key": "a"})])
    before = versions(clips), versions(looks)
    turns(weather, 1.0, kind, only=f"^PUT .*clips{LOG}", at_most=1)
    rows = [ended("b"), ended("c", outcome="failed")]
    assert clips.append(rows) == rows
    receipts = [looks.write({"key": name}) for name in "bc"]
    turns(weather, 1.0, kind, only=f"^PUT .*looks{LOG}", at_most=2)
    assert sorted(receipt.key for receipt in looks.commit(receipts)) == ["b", "c"]
    assert weather.seen[kind] == 2
    assert (versions(clips), versions(looks)) == (before[0] + 1, before[1] + 1)
    for table in (clips, looks):
        assert [row["key"] for row in table.rows(["key"])] == ["a", "b", "c"]


def test_two_that_commit_in_the_same_moment_are_no_fault(store: Store, weather: Weather) -> None:
    """S3 answers one of them with 409; nothing was written then, and nobody has to wait."""
    clips = store.table("clips")
    clips.append([ended("a")])
    turns(weather, 1.0, "conflict_409", only=f"^PUT .*{LOG}", at_most=5)
    assert clips.append([ended("b")]) == [ended("b")]
    assert weather.seen["conflict_409"] == 5  # more than there are pauses
    assert [row["key"] for row in clips.rows(["key"])] == ["a", "b"]


def test_what_another_run_has_committed_is_read_however_often_that_breaks_off(store: Store, weather: Weather) -> None:
    clips, other = store.table("clips"), replace(store, _tables={}).table("clips")
    clips.append([ended("a")])
    other.append([ended("b")])
    turns(weather, 1.0, "short_body", only=f"^GET .*{LOG}.*json", at_most=2)
    assert clips.append([ended("b"), ended("c")]) == [ended("c")]
    assert weather.seen["short_body"] == 2


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_in_bad_weather_every_row_is_there_once(store: Store, weather: Weather, seed: int) -> None:
    weather.seed = seed
    weather.__post_init__()
    clips, looks = store.table("clips"), store.table("looks")
    turns(weather, 0.15)
    names = [f"{number:02d}" for number in range(9)]
    for name in names:
        assert clips.append([ended(name)]) == [ended(name)]
        receipt = looks.write({"key": name})
        assert looks.commit([receipt]) == [receipt]
    assert weather.faults > 10
    weather.clear()
    for table in (clips, looks):
        assert [row["key"] for row in table.rows(["key"])] == names


def test_a_store_that_stays_unwell_is_one_clear_line(
    store: Store, weather: Weather, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PAUSES_S", (0.01,))
    store.table("clips").append([ended("a")])
    clips = replace(store, _tables={}).table("clips")
    turns(weather, 1.0, "short_body", only=f"^GET .*{LOG}")
    with pytest.raises(EquivdmError, match=r"^s3://videos/patience/.*/clips: the store does not answer as it should"):
        clips.append([ended("b")])
    weather.clear()
    assert [row["key"] for row in clips.rows(["key"])] == ["a"]


def test_patience_has_an_end_and_knows_what_is_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSES_S", (0.01, 0.02))
    calls: list[float] = []

    def never(fault: Exception) -> None:
        calls.append(time.monotonic())
        raise fault

    with pytest.raises(EquivdmError, match="there: the store does not answer as it should \\(reset\\)"):
        patiently("there", lambda: never(ConnectionResetError("reset")))
    assert len(calls) == 3
    with pytest.raises(FileNotFoundError):
        Patience("there").rest(FileNotFoundError("gone"))
