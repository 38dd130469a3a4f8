"""The page: every number in it is one that was measured."""

import re
from dataclasses import replace

from equivdm.findings.claims import CLAIMS
from equivdm.findings.page import render
from equivdm.findings.result import About, Result
from equivdm.findings.tables import cell
from equivdm.findings.trials import Trial, Trials
from equivdm.metrics.bootstrap import Interval

ABOUT = About(("A processor (2 CPUs)",), ("2026-01-01", "2026-01-02"), 1234.5, 700.2, "equivdm reproduce")


def result(trials: Trials, name: str = "steps", axis: str | None = "sampler steps") -> Result:
    """An experiment with two metrics."""
    return Result(name, "Title", "Claim.", axis, ("cf_psnr", "epe"), trials, f"equivdm reproduce {name}", 3, 12.0, 9)


def few_steps(warped: float, independent: float) -> Trials:
    """Constant cross-frame PSNR and motion error at 4 and 32 steps, of three seeds and three clips."""
    values = {"warped": warped, "independent": independent}
    return Trials.of(
        Trial(seed, f"{name}, {condition}", x, metric, clip, value if metric == "cf_psnr" else 50 - value)
        for seed in (0, 1, 2)
        for clip in range(3)
        for name, value in values.items()
        for condition in ("no condition", "soft edge")
        for x in (4.0, 32.0)
        for metric in ("cf_psnr", "epe")
    )


def test_the_bars_stand_first_with_their_verdicts() -> None:
    page = render([result(few_steps(25.0, 21.0))], ABOUT)
    bars = page[page.index("## The bars") : page.index("### Bar 1")].splitlines()
    verdicts = [re.findall(r"\*\*(.+?)\*\*", line) for line in bars if line.startswith("| ")][1:]
    assert verdicts == [["shows"], ["not measured"], ["not measured"]]
    assert "**the other way**" in render([result(few_steps(21.0, 25.0))], ABOUT).partition("### Bar 1")[0]


def test_a_table_has_a_row_a_place_and_a_column_a_variant() -> None:
    page = render([result(few_steps(25.0, 21.0))], ABOUT)
    table = page[page.index("Cross-frame PSNR (dB) ↑:") :].splitlines()[2:6]
    assert table == [
        "| sampler steps | warped, no condition | warped, soft edge | independent, no condition "
        "| independent, soft edge |",
        "|---|---|---|---|---|",
        "| 4 | 25 (25 to 25) | 25 (25 to 25) | 21 (21 to 21) | 21 (21 to 21) |",
        "| 32 | 25 (25 to 25) | 25 (25 to 25) | 21 (21 to 21) | 21 (21 to 21) |",
    ]


def test_without_an_axis_a_table_has_a_column_a_metric() -> None:
    rows = [Trial(0, "warped", None, metric, 0, value) for metric, value in (("cf_psnr", 20.0), ("epe", 0.5))]
    page = render([result(Trials.of(rows), "v2v", axis=None)], ABOUT)
    assert "| variant | cross-frame PSNR (dB) ↑ | motion error (px) ↓ |" in page
    assert "| warped | 20 (20 to 20) | 0.50 (0.50 to 0.50) |" in page


def test_what_was_not_run_says_how_to_run_it() -> None:
    page = render([result(Trials([]))], ABOUT)
    assert "Not measured. `equivdm reproduce steps` measures it." in page
    assert f"| 0 | 0 | 0 | 0 | {len(CLAIMS['steps'].comparisons)} |" in page


def test_machine_date_and_times_are_told() -> None:
    head = render([], ABOUT).partition("## The bars")[0]
    assert "- Machine: A processor (2 CPUs)" in head
    assert "- Date: 2026-01-01 to 2026-01-02" in head
    assert "1,234 s of computing, 700 s by the clock" in head


def test_a_cell_has_as_many_figures_as_tell_the_ends_apart() -> None:
    assert cell(Interval(24.3141, 23.912, 24.77, 9)) == "24.31 (23.91 to 24.77)"
    assert cell(Interval(24.3141, 19.2, 31.7, 9)) == "24 (19 to 32)"
    assert cell(Interval(3.34e-6, 1.4e-6, 6.5e-6, 9)) == "3.3e-06 (1.4e-06 to 6.5e-06)"
    assert cell(Interval(0.0, 0.0, 0.0, 9)) == "0.0 (0.0 to 0.0)"
    assert cell(None) == "–"


def test_a_bar_shows_how_both_sides_look_and_how_many_trainings_there_were() -> None:
    """An unfinished study says so, and decides nothing."""
    rows = [*few_steps(25.0, 21.0).rows]
    rows += [row._replace(metric="sharpness", value=row.value - 20) for row in rows if row.metric == "cf_psnr"]
    rows += [Trial(seed, "driving", None, "sharpness", 0, 9.0) for seed in range(3)]
    page = render([result(Trials.of(rows))], ABOUT)
    looks = page.partition("How both sides look:")[2].partition("## The claims")[0]
    assert "| warped, no condition at 4 sampler steps | 5.0 (5.0 to 5.0) |" in looks
    assert "| independent, no condition at 32 sampler steps | 1.0 (1.0 to 1.0) |" in looks
    assert "| driving | 9.0 (9.0 to 9.0) |" in looks
    part = render([result(Trials.of(row for row in rows if row.seed < 2))], ABOUT).partition("### Bar 1")[0]
    assert "| 2 of 3 | **too few trainings** |" in part


def test_a_trial_run_says_that_its_numbers_say_nothing() -> None:
    assert "**These numbers say nothing.**" in render([], replace(ABOUT, trial_run=True))
    assert "say nothing" not in render([], ABOUT)
