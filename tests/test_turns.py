"""Experiments in one process: what is said of them can be run, and what never ends is refused."""

import math
from pathlib import Path

import pytest

from benchmarks.reproduce import command_of, parse
from benchmarks.shelf import Shelf
from benchmarks.turns import items_of, work
from equivdm.errors import EquivdmError
from jobs.paper import paper_studies


@pytest.mark.parametrize("more", [[], ["--seeds", "5", "--autoencoder", "weights/taef2_encoder.pth"]])
def test_the_command_of_a_page_is_one_that_makes_it(more: list[str]) -> None:
    given = parse(["steps", "--size", "tiny", "--out", "somewhere", "--seconds", "60", *more])
    again = parse(command_of(given).split()[3:])
    assert vars(again) == {**vars(given), "experiments": [], "seconds": math.inf}


def test_an_item_that_was_begun_twice_is_refused_until_it_is_told_to_go_on(tmp_path: Path) -> None:
    """Both calls were killed at it: nothing else is on the shelf."""
    shelf, items = Shelf(tmp_path), items_of(paper_studies(["tracked_points"], size="tiny"))
    for _ in range(2):
        shelf.begin(items[0].key)
    with pytest.raises(EquivdmError, match="tracked_points, seed 0: got 2 calls that began it"):
        work(items, shelf, math.inf)
    shelf.begun(items[0].key).unlink()
    assert work(items, shelf, math.inf) == 0
    assert shelf.ended([items[0].key])[items[0].key].numbers
