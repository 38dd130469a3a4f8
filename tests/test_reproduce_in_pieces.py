"""The experiments without a cluster: they stop before a limit, and go on to what an undisturbed call finds."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.reproduce import command_of, parse
from benchmarks.shelf import Shelf
from benchmarks.turns import Pace, items_of, work
from equivdm.errors import EquivdmError
from equivdm.study.config import TINY
from jobs.paper import paper_studies
from pipelines.config import StudyConfig
from pipelines.reproducing.items import ModelItem
from pipelines.reproducing.summary import Ended

FOREVER = float("inf")

STUDY = StudyConfig(experiment="theorem41", seeds=1, spec=TINY.model_copy(update={"times": (0.9,)}))


def found(shelf: Shelf) -> dict[str, Ended]:
    """What ended, but for what differs from run to run."""
    ended = shelf.ended(item.key for item in items_of([STUDY]))
    return {key: replace(each, seconds=0.0, date="") for key, each in ended.items()}


def test_pieces_come_to_the_same_numbers_as_one_call(tmp_path: Path) -> None:
    items, whole, pieces = items_of([STUDY]), Shelf(tmp_path / "whole"), Shelf(tmp_path / "pieces")
    assert work(items, whole, FOREVER) == 0
    left = [work(items, pieces, 0.0) for _ in items]  # without time, a call does one item
    assert left == list(range(len(items)))[::-1]
    assert found(whole) == found(pieces)
    assert len(found(whole)) == len(items)
    assert any(each.numbers for each in found(whole).values())
    for item in items[:-1]:
        assert all((value == pieces.weights(item.key)[name]).all() for name, value in whole.weights(item.key).items())


def test_a_finished_call_does_nothing(tmp_path: Path) -> None:
    items, shelf = items_of([STUDY]), Shelf(tmp_path)
    for item in items:
        shelf.put(item.key, Ended(1.0, "some machine", "2026-01-01"))
    assert work(items, shelf, 0.0) == 0
    assert not (tmp_path / "models").exists()


def test_a_pace_knows_how_long_a_training_takes_by_its_updates() -> None:
    base, tuned = (item for item in items_of([STUDY])[:2] if isinstance(item, ModelItem))
    pace = Pace(100.0)
    pace.saw(base, 40.0)
    longer = replace(base, spec=base.spec.model_copy(update={"steps": 3 * base.spec.steps}))
    assert pace.allows(base)
    assert not pace.allows(longer)
    assert Pace(1.0).allows(tuned), "of what nobody has seen, nothing is known"


@pytest.mark.parametrize("more", [[], ["--seeds", "5", "--autoencoder", "weights/taef2_encoder.pth"]])
def test_the_command_of_a_page_is_one_that_makes_it(more: list[str]) -> None:
    given = parse(["steps", "--size", "tiny", "--out", "somewhere", "--seconds", "60", *more])
    again = parse(command_of(given).split()[3:])
    assert vars(again) == {**vars(given), "experiments": [], "seconds": FOREVER}


def test_an_item_that_was_begun_twice_is_refused_until_it_is_told_to_go_on(tmp_path: Path) -> None:
    """Both calls were killed at it: nothing else is on the shelf."""
    shelf, items = Shelf(tmp_path), items_of(paper_studies(["tracked_points"], size="tiny"))
    for _ in range(2):
        shelf.begin(items[0].key)
    with pytest.raises(EquivdmError, match="tracked_points, seed 0: got 2 calls that began it"):
        work(items, shelf, FOREVER)
    shelf.begun(items[0].key).unlink()
    assert work(items, shelf, FOREVER) == 0
    assert shelf.ended([items[0].key])[items[0].key].numbers
