"""What a person sees of a plan for machines that are not there yet."""

import pytest

from jobs.look import show_plan
from pipelines.capacity import Capacity
from pipelines.plan import Plan, StagePlan

COUNTS = {"inputs": 9, "done": 1, "filtered": 0, "quarantined": 0, "pending": 8}


def plan(limit: str) -> Plan:
    stages = (StagePlan("motion", 8, 8.0, 2.0, 9.0, 1.0, 0.0), StagePlan("latents", 8, 8.0, 3.0, 9.0, 0.0, 1.0))
    found = Capacity(41.25, limit, {"CPUs": 0.314, "GPUs": 0.97}, {"motion": 31.4, "latents": 482.0})
    return Plan("preprocess", COUNTS, 0, 1.0, stages, ("r1",), 1.0, 2.0, 72.0, None, "", None, found)


def test_a_plan_for_machines_says_how_long_what_is_at_work_and_how_many_actors(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert show_plan(plan("GPUs"), as_json=False) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "41.2 hours by the clock; at work: CPUs 31%, GPUs 97%",
        "actors that keep the GPUs busy, by stage: latents 482",
    ]


def test_a_driver_that_is_the_limit_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    show_plan(plan("driver"), as_json=False)
    assert "the driver is the limit: divide the source (source.include)" in capsys.readouterr().out
