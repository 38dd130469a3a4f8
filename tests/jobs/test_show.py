"""What a person sees of a run."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from equivdm.config import SamplerConfig
from equivdm.metrics.bootstrap import Interval
from jobs.show import SHOWN_FAILURES, in_words, show_summary
from pipelines.batch import RunSummary
from pipelines.evaluation.comparison import compare
from pipelines.fit import TrainSummary
from pipelines.models import Figure, ModelRecord
from tests.pipelines.fit_cases import fit_config, train_job
from tests.pipelines.score_cases import scores

WHOLE = {"inputs": 5, "done": 4, "filtered": 1, "quarantined": 0, "pending": 0, "new": 3}


def test_a_run_adds_up_in_words() -> None:
    summary = RunSummary("preprocess", 1.5, WHOLE)
    assert in_words(summary) == "5 inputs = 4 done + 1 filtered + 0 quarantined + 0 pending; 3 new"


@pytest.mark.parametrize(
    ("changes", "problems", "code"),
    [({}, (), 0), ({"pending": 1}, (), 1), ({"quarantined": 1}, (), 1), ({}, ("clips/x: 3 bytes, wanted 4",), 1)],
)
def test_the_exit_code_is_0_when_nothing_is_left_undone(
    changes: dict[str, int], problems: tuple[str, ...], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show_summary(RunSummary("audit", 0.2, WHOLE | changes, problems=problems)) == code
    out = capsys.readouterr().out
    assert out.startswith("audit in 0.2 s: 5 inputs = ")
    assert ("damaged clips/x: 3 bytes, wanted 4" in out) == bool(problems)


def test_the_page_of_a_run_is_named_last_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    page = f"s3://bucket/{'long/' * 40}runs/20261129T000000Z-1.html"
    show_summary(RunSummary("preprocess", 1.0, WHOLE, record=page))
    assert capsys.readouterr().out.splitlines()[-1] == f"record of the run: {page}"


def test_failures_are_listed_as_they_are_up_to_a_number(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    failures = [(f"[bold]{number}.mp4", "NotAVideo", "[/] got <html>") for number in range(SHOWN_FAILURES + 3)]
    show_summary(RunSummary("preprocess", 1.0, WHOLE, failures))
    out = capsys.readouterr().out
    assert out.count("NotAVideo") == SHOWN_FAILURES
    assert "[bold]0.mp4" in out  # a file's name is no markup
    assert "and 3 more" in out


def test_means_stand_side_by_side_with_their_intervals(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    means = {
        name: {"cf_psnr": Interval(mean, mean - 1, mean + 1, 12)} for name, mean in (("warped", 22.5), ("other", 17.0))
    }
    show_summary(RunSummary("evaluate", 1.0, WHOLE, means=means))
    lines = capsys.readouterr().out.splitlines()
    assert any("warped" in line and "other" in line for line in lines)
    assert any("cf_psnr" in line and "22.5 (21.5 to 23.5)" in line and "17 (16 to 18)" in line for line in lines)


@pytest.mark.parametrize("names", [("warped", "broken"), ("broken", "warped")])
def test_a_set_of_which_nothing_could_be_measured_does_not_hide_the_others(
    names: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    means = {name: {"epe": Interval(0.5, 0.4, 0.6, 3)} if name == "warped" else {} for name in names}
    assert show_summary(RunSummary("evaluate", 1.0, WHOLE | {"quarantined": 3}, means=means)) == 1
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "epe" in line)
    assert "0.5 (0.4 to 0.6)" in line
    assert "not measured" in line


def test_where_nothing_was_measured_no_table_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    show_summary(RunSummary("evaluate", 1.0, WHOLE, means={"warped": {}}))
    assert len(capsys.readouterr().out.splitlines()) == 1


def trained(fresh: bool) -> TrainSummary:
    """A finished training."""
    job = train_job("store", fit_config())
    history = (Figure(4, "loss", 0.5), Figure(8, "loss", 0.12345), Figure(8, "fake_loss", 2.0))
    when = datetime(2026, 1, 1, tzinfo=UTC)
    facts = ("k", "equivdm", "train", "w", job.model_dump_json(), None, 8, history, 3.0, when)
    return TrainSummary("train", 3.04, ModelRecord(*facts, job.backbone, job.noise, SamplerConfig()), fresh)


@pytest.mark.parametrize(("fresh", "state"), [(True, "new"), (False, "was there already")])
def test_a_training_is_told_by_its_model_and_its_last_figures(
    fresh: bool, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show_summary(trained(fresh)) == 0
    said = "train in 3.0 s: equivdm, 8 steps, loss 0.123, fake_loss 2; "
    assert capsys.readouterr().out == f"{said}{state}\n"


def test_differences_remarks_and_the_report_follow_the_means(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    found = compare(
        scores({"a": {"epe": [1.0, 2.0, 3.0]}, "b": {"epe": [0.5, 1.5, 2.5], "flicker": [1.0] * 3}}, clips=3)
    )
    summary = RunSummary("evaluate", 1.0, WHOLE, means=found.means, sets={"a": {"fid": 12.5}, "b": {}})
    show_summary(replace(summary, differences=found.differences, baseline="a", remarks=["one"], report="there"))
    out = capsys.readouterr().out
    assert "less a, clip by clip" in out
    assert "-0.5 (-0.5 to -0.5), better on 3 of 3" in out
    (line,) = (line for line in out.splitlines() if "fid" in line)
    assert line.split() == ["fid", "12.5", "not", "measured"]
    assert out.endswith("one\nreport: there\n")
