"""Comparison, words and files of an evaluation, from values that are made up."""

import csv
import io
import json
from dataclasses import replace

import pytest

from equivdm.metrics import METRICS
from pipelines.evaluation.comparison import compare
from pipelines.evaluation.scores import Failure, Scores
from pipelines.evaluation.summary import as_json, counted, remarks, summary_csv, values_csv
from tests.pipelines.score_cases import scores

TWO = {
    "a": {"epe": [1.0, 2.0, 3.0, None], "cf_psnr": [20.0, 20.0, 20.0, 20.0], "contrast": [5.0] * 4},
    "b": {"epe": [0.5, 2.5, 2.0, 9.0], "cf_psnr": [21.0, 19.0, 23.0, None], "contrast": [6.0] * 4},
}


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_systems_are_compared_on_the_clips_that_both_have() -> None:
    found = compare(scores(TWO))
    epe, psnr, contrast = (found.differences["b"][metric] for metric in ("epe", "cf_psnr", "contrast"))
    assert (epe.interval.mean, epe.interval.count, epe.wins) == (pytest.approx(-1 / 3), 3, 2)  # lower is better
    assert (psnr.interval.mean, psnr.interval.count, psnr.wins) == (pytest.approx(1.0), 3, 2)  # higher is better
    assert contrast.wins == -1
    assert not epe.is_clear
    assert contrast.is_clear
    assert list(found.differences) == ["b"]
    assert (found.best("epe"), found.best("cf_psnr"), found.best("contrast")) == ("a", "b", None)


def test_the_baseline_is_the_first_or_the_one_that_is_named() -> None:
    assert compare(scores(TWO)).scores.baseline == "a"
    found = compare(scores(TWO, baseline="b"))
    assert list(found.differences) == ["a"]
    assert found.differences["a"]["epe"].interval.mean == pytest.approx(1 / 3)


def with_more(**changes: object) -> Scores:
    return replace(scores(TWO), **changes)  # type: ignore[arg-type]


FAILED = [Failure("a", "v.mp4", "epe", "ValueError", "why"), Failure("a", "v.mp4", "psnr", "ValueError", "why")]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (scores(TWO), "4 clips, of which 4 measured of both"),
        (with_more(failures=FAILED), "of a: 4 videos, 1 failed"),
        (with_more(missing={"a": 0, "b": 3}), "of b: 4 videos, 3 driving videos without one"),
        (with_more(pending=2), "2 values not found yet: run evaluate again"),
        (with_more(left_out={"fid": "fid: needs weights.inception"}), "left out: fid: needs weights.inception"),
        (scores(TWO, length={"b": 9}), "videos differ in length, in frames: a 6, b 9; what grows with the length"),
        (scores(TWO, length={"a": 99}), "4 videos longer than match.max_frames: their first 96 frames are measured"),
        (with_more(failures=[Failure("b", "", "fid", "ValueError", "few")]), "of b: fid cannot be measured: few"),
    ],
)
def test_what_must_be_known_beside_the_figures_is_said(given: Scores, said: str) -> None:
    lines = remarks(compare(given))
    assert any(line.startswith(said) for line in lines), lines


def test_clips_in_common_are_those_that_every_system_has() -> None:
    values = {"a": {"epe": [1.0, 2.0, None, None]}, "b": {"epe": [None, 1.0, 2.0, None]}, "c": {"epe": [1.0] * 4}}
    assert scores(values).common == {"c1"}
    assert "4 clips, of which 1 measured of all 3" in remarks(compare(scores(values)))


def test_the_files_for_other_programs_hold_every_figure() -> None:
    found = compare(replace(scores(TWO, failures=FAILED), sets={"a": {}, "b": {}}, left_out={"fid": "fid: needs it"}))
    whole = json.loads(as_json(found))
    assert whole["baseline"] == "a"
    assert whole["systems"]["a"]["failed"] == 1
    assert whole["systems"]["a"]["means"]["epe"]["mean"] == pytest.approx(2.0)
    assert whole["systems"]["b"]["less_baseline"]["epe"]["wins"] == 2
    assert "wins" not in whole["systems"]["b"]["less_baseline"]["contrast"]
    assert whole["left_out"] == {"fid": "fid: needs it"}
    lines = {(row["system"], row["metric"]): row for row in rows_of(summary_csv(found))}
    assert len(lines) == 2 * 3
    assert (lines["b", "epe"]["better"], lines["b", "epe"]["unit"]) == ("lower", METRICS["epe"].unit)
    assert float(lines["b", "epe"]["less_baseline"]) == pytest.approx(-1 / 3)
    assert (lines["b", "epe"]["common_clips"], lines["b", "epe"]["wins"]) == ("3", "2")
    assert lines["a", "epe"]["less_baseline"] == ""
    values = rows_of(values_csv(found))
    assert len(values) == 3 + 4 + 4 + 4 + 3 + 4
    assert {row["driving"] for row in values} == {"v0.mp4", "v1.mp4"}


def test_one_and_many() -> None:
    assert [counted(number, "clip") for number in (0, 1, 2)] == ["0 clips", "1 clip", "2 clips"]
