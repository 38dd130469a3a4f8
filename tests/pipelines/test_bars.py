"""What is seen of a job's stages: bars on a terminal, few lines elsewhere, and the final figures after it."""

import io
import re
import time
from collections import Counter

import pytest
from rich.console import Console

from pipelines import bars
from pipelines.bars import Bars, Lines, Stages
from pipelines.tally import SKIPPED, Reporter, Sums, start_tally
from tests.pipelines.test_tally import assert_exported

TOTALS = {"motion": 10, "latents": 4}


def sums(done: int, failed: int = 0, skipped: int = 0) -> Sums:
    return Sums(Counter({"done": done, "failed": failed, SKIPPED: skipped}), float(done))


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Console:
    """A terminal that somebody watches."""
    monkeypatch.delenv("CI", raising=False)
    return Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)


def last_frame(screen: Console) -> dict[str, str]:
    """The bars as they were left, by label."""
    assert isinstance(screen.file, io.StringIO)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.file.getvalue())
    rows = [line.split(maxsplit=1) for line in re.split(r"[\r\n]+", text) if line.strip()]
    return {label: rest for label, rest in rows}


def test_a_terminal_has_a_bar_for_the_job_and_one_for_each_stage(screen: Console) -> None:
    view = Bars("preprocess", 12, TOTALS, screen)
    view.open()
    view.show(3, {"motion": sums(5, failed=2), "latents": sums(1, skipped=2)}, "rate=[dim]")
    view.close(whole=True)
    frame = last_frame(screen)
    assert list(frame) == ["preprocess", "motion", "latents"]
    assert "3/12" in frame["preprocess"]
    assert "rate=[dim]" in frame["preprocess"]
    assert "7/10" in frame["motion"]
    assert "2 failed" in frame["motion"]
    assert "3/4" in frame["latents"]
    assert "failed" not in frame["latents"]


def test_a_bar_stays_within_its_total_though_a_crashed_item_is_counted_twice(screen: Console) -> None:
    view = Bars("preprocess", 12, TOTALS, screen)
    view.open()
    view.show(4, {"latents": sums(6)}, "")
    view.close(whole=True)
    assert "4/4" in last_frame(screen)["latents"]


def test_lines_come_every_few_seconds_with_all_stages_in_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    view = Lines("preprocess", 10, TOTALS)
    view.open()
    for tick in range(1, 41):  # half a second each
        now[0] = tick / 2
        view.show(tick // 4, {"motion": sums(tick // 4, failed=1)}, "")
    view.close(whole=True)
    assert capsys.readouterr().err.splitlines() == [
        "preprocess: 0 of 10",
        "preprocess: 2 of 10, about 20 s left  motion 3/10 (1 failed)",
        "preprocess: 5 of 10, about 10 s left  motion 6/10 (1 failed)",
        "preprocess: 7 of 10, about 6 s left  motion 8/10 (1 failed)",
        "preprocess: 10 of 10 in 20.0 s  motion 10/10 (1 failed)",
    ]


def test_without_a_tally_the_jobs_own_items_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    with Stages(Reporter("test"), "render", 3, {}) as advance:
        for _ in range(3):
            advance(1, loss=0.5)
    first, last = capsys.readouterr().err.splitlines()
    assert first == "render: 0 of 3"
    assert last.startswith("render: 3 of 3 in ")
    assert last.endswith("  loss=0.5")


def test_an_error_passes_and_leaves_no_line_that_claims_an_end(capsys: pytest.CaptureFixture[str]) -> None:
    def lose() -> None:
        with Stages(Reporter("test"), "render", 3, {}):
            raise KeyError("lost")

    with pytest.raises(KeyError):
        lose()
    assert capsys.readouterr().err == "render: 0 of 3\n"


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_what_workers_report_moves_the_bars_and_is_known_at_the_end(
    screen: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bars, "REFRESH_S", 0.05)
    reporter = start_tally("test-bars")
    with Stages(reporter, "preprocess", 2, {"motion": 2}, screen) as advance:
        reporter.report("motion", "done", 1.0)
        end = time.monotonic() + 20
        while not advance.sums and time.monotonic() < end:
            time.sleep(0.05)
        assert advance.sums["motion"].through == 1  # while the job is under way
        reporter.report("motion", "failed", 0.5)  # still with this process when the block ends
        advance(1)
    assert advance.sums["motion"].outcomes == {"done": 1, "failed": 1}
    assert advance.sums["motion"].seconds == 1.5
    assert "2/2" in last_frame(screen)["motion"]


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_figures_that_were_known_outlive_their_tally() -> None:
    import ray

    reporter = start_tally("test-bars-gone")
    with Stages(reporter, "preprocess", 1, {"motion": 1}) as advance:
        reporter.report("motion", "done")
        end = time.monotonic() + 20
        while not advance.sums and time.monotonic() < end:
            time.sleep(0.05)
        ray.kill(reporter.actor)
    assert advance.sums["motion"].through == 1


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_the_nodes_endpoint_exports_what_is_pending() -> None:
    with Stages(start_tally("test-pending"), "preprocess", 5, {}) as advance:
        advance(3)
        assert_exported("test-pending", {'ray_equivdm_items_pending{job="test-pending"}': 2.0})
