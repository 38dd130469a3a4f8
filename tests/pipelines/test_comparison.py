"""Comparison, words and files of an evaluation, from values that are made up."""

import csv
import io
import json
from dataclasses import replace
from typing import Any

import pytest

from equivdm.metrics import METRICS
from pipelines.evaluation.comparison import compare
from pipelines.evaluation.pairs import Laid
from pipelines.evaluation.remarks import counted, remarks
from pipelines.evaluation.scores import Failure, Scores
from pipelines.evaluation.summary import as_json, summary_csv, values_csv
from tests.pipelines.score_cases import pair, scores

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
    assert list(found.differences) == ["b"]
    # Of different clips no mean is the best.
    assert [found.best(metric) for metric in TWO["a"]] == [None, None, None]
    whole = compare(scores({name: {"epe": values["epe"][:3]} for name, values in TWO.items()}))
    assert whole.best("epe") == "b"


def test_the_baseline_is_the_first_or_the_one_that_is_named() -> None:
    assert compare(scores(TWO)).scores.baseline == "a"
    found = compare(scores(TWO, baseline="b"))
    assert list(found.differences) == ["a"]
    assert found.differences["a"]["epe"].interval.mean == pytest.approx(1 / 3)


def with_more(**changes: object) -> Scores:
    return replace(scores(TWO), **changes)  # type: ignore[arg-type]


def without_clip(name: str) -> Scores:
    found = scores(TWO)
    own = {clip: pair for clip, pair in found.pairs[name].items() if clip != "c3"}
    return replace(found, pairs={**found.pairs, name: own})


def changed(name: str, **changes: Any) -> Scores:
    found = scores(TWO)
    return replace(found, pairs={**found.pairs, name: {**found.pairs[name], "c0": pair(name, 0, **changes)}})


def silent() -> Scores:
    return scores({"a": {"clip_text": [None] * 4}, "b": {"clip_text": [None] * 4}})


FAILED = [Failure("a", "v.mp4", "epe", "ValueError", "why"), Failure("a", "v.mp4", "psnr", "ValueError", "why")]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (scores(TWO), "4 clips, of which 4 measured of both"),
        (with_more(failures=FAILED), "of a: 4 videos, 1 failed"),
        (with_more(missing={"a": 0, "b": 3}), "of b: 4 videos, 3 driving videos without one"),
        (without_clip("b"), "of b: 3 videos, 1 clip of the other sets without one"),
        (changed("b", laid=Laid((64, 96))), "videos of 1 clip differ in size: what is in px"),
        (changed("b", indices=(0, 2)), "videos of 1 clip differ in start or stride: "),
        (silent(), "of a: 4 of 4 videos without a caption, left out of clip_text"),
        (
            with_more(sets={"a": {"fid": 1.0}, "b": {"fid": 2.0}}, set_clips={"fid": frozenset(["c0"])}),
            "fid: of 1 clip that all systems have",
        ),
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


def test_windows_of_one_video_are_drawn_together_and_a_single_video_has_no_interval() -> None:
    twice = compare(scores({"a": {"epe": [1.0, 1.0, 3.0, 3.0]}}))
    assert twice.means["a"]["epe"].low == 1.0  # of two videos; of four clips it would be above
    assert not compare(scores({"a": {"epe": [1.0, 3.0]}}, clips=2)).means["a"]["epe"].known


def test_sets_of_other_numbers_of_frames_have_no_best() -> None:
    sets = {"sets": {"a": {"fid": 1.0}, "b": {"fid": 2.0}}, "set_clips": {"fid": frozenset(["c0", "c1"])}}
    assert compare(with_more(**sets)).best("fid") == "a"
    assert compare(replace(changed("b", frames=5), **sets)).best("fid") is None


def test_a_name_is_no_formula_of_a_table_program() -> None:
    found = changed("b", path="=cmd()")
    (line,) = (
        row for row in rows_of(values_csv(compare(found))) if row["path"] == "'=cmd()" and row["metric"] == "epe"
    )
    assert line["value"] == "0.5"
    less = {row["system"]: row for row in rows_of(summary_csv(compare(found))) if row["metric"] == "epe"}
    assert less["b"]["less_baseline"].startswith("-0.3")


def test_one_and_many() -> None:
    assert [counted(number, "clip") for number in (0, 1, 2)] == ["0 clips", "1 clip", "2 clips"]
