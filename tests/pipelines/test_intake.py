"""Items that enter a pipeline while it runs."""

import os
import signal
from collections.abc import Iterator

import pytest
import ray.data

from pipelines import intake
from pipelines.intake import Intake, intakes
from pipelines.settings import Resources
from pipelines.steps import spread
from pipelines.tables import Row

AHEAD = 8


def rows(count: int) -> Iterator[Row]:
    return ({"key": f"{number:03d}", "number": number} for number in range(count))


def fragile(row: Row) -> Row:
    """A step whose process dies of every tenth item."""
    if row["number"] % 10 == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"key": row["key"], "outcome": "done"}


def passing(row: Row) -> Row:
    return {"key": row["key"], "outcome": "done"}


@pytest.fixture
def little_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is for thousands of items, for few."""
    monkeypatch.setattr(intake, "FEW", 5)
    monkeypatch.setattr(intake, "_AT_A_TIME", 2)


def run(items: Intake, step: object = passing) -> list[str]:
    """Return the keys that come back."""
    dataset: ray.data.Dataset = spread(items.dataset(), step, Resources(cpus=0.5))  # type: ignore[arg-type]
    with items:
        came = []
        for row in dataset.iter_rows():
            items.back(row["key"])
            came.append(row["key"])
    return came


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray", "little_at_once")
@pytest.mark.parametrize("count", [3, 40])
def test_every_item_comes_back_once_and_few_are_on_their_way(count: int) -> None:
    taken, most = 0, 0

    def watched() -> Iterator[Row]:
        nonlocal taken
        for row in rows(count):
            taken += 1
            yield row

    items, came = Intake(watched(), AHEAD), []
    dataset = spread(items.dataset(), passing, Resources(cpus=0.5))
    with items:
        for row in dataset.iter_rows():
            items.back(row["key"])
            came.append(row["key"])
            most = max(most, taken - len(came))
    assert sorted(came) == [row["key"] for row in rows(count)]
    assert (items.lost, taken) == ([], count)
    assert most <= AHEAD + 2 * 2  # what is noted, and what is in the thread's hand


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray", "little_at_once")
def test_lost_items_take_nobody_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 16 items 2 are lost, and no more than one may be on its way."""
    monkeypatch.setattr(intake, "STALLED_S", 2.0)
    items = Intake(rows(16), 1)
    came = run(items, fragile)
    assert {row["key"] for row in items.lost} == {"003", "013"}
    assert sorted([*came, *(row["key"] for row in items.lost)]) == [row["key"] for row in rows(16)]


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray", "little_at_once")
def test_a_fault_of_who_gives_the_items_is_raised_when_the_others_are_back() -> None:
    def broken() -> Iterator[Row]:
        yield from rows(20)
        raise OSError("the table is gone")

    items, came = Intake(broken(), AHEAD), []
    with pytest.raises(OSError, match="the table is gone"):
        came = run(items)
    assert (items.lost, came) == ([], [])


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray", "little_at_once")
def test_who_stops_early_is_not_held_up() -> None:
    items = Intake(rows(10_000), AHEAD)
    dataset = spread(items.dataset(), passing, Resources(cpus=0.5))
    with items:
        items.back(next(iter(dataset.iter_rows()))["key"])
    assert not items._thread.is_alive()


def test_one_item_may_stand_for_several() -> None:
    item = {"key": "video", "path": "a.mp4", "wanted": [{"key": "psnr"}, {"key": "ssim"}]}
    items = Intake(iter([item]), AHEAD)
    items._note([item])
    items.back("psnr")
    assert [(row["key"], row["path"]) for row in items.lost] == [("ssim", "a.mp4")]


def test_a_job_is_cut_into_executions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "SESSION", 3)
    parts = [[row["number"] for row in part._items] for part in intakes(rows(7), 0)]
    assert parts == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(intakes(iter([]), 1)) == []
    assert [intake.session(workers) for workers in (0, 1000)] == [3, 500_000]
    assert [next(intakes(rows(1), workers))._ahead for workers in (2, 1000)] == [intake.AHEAD, 8000]
