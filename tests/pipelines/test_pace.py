"""The stopwatch of a training."""

import pytest

from pipelines.pace import Pace, speed


def test_waiting_is_told_from_working_and_pauses_are_left_out() -> None:
    now = [100.0]
    pace = Pace(lambda: now[0])
    for wait, work, pause in [(1.0, 3.0, 50.0), (0.5, 3.5, 0.0)]:
        now[0] += wait
        pace.arrived()
        now[0] += work
        pace.stepped(flops=work * 10)
        now[0] += pause
        pace.resume()
    assert pace.take() == (4.0, 0.75, 32.5)
    now[0] += 2.0
    pace.arrived()
    pace.stepped()
    assert pace.take() == (2.0, 2.0, 0.0)  # begun anew


def test_speed_in_the_units_that_people_compare() -> None:
    assert speed(8, 4.0, 1.0) == pytest.approx({"clips_per_s": 2.0, "s_per_step": 4.0, "loader_share": 0.25})


def test_the_share_of_the_peak_is_that_of_a_workers_own_device() -> None:
    found = speed(8, 4.0, 1.0, flops=2e15, peak=1e15)
    assert found["tflops"] == pytest.approx(500)
    assert found["mfu"] == pytest.approx(0.5)
