"""The simulated scheduler keeps the laws of scheduling; the formula of plans says what it says, with 1,000 workers."""

from math import ceil

import pytest

from benchmarks.simulation import Stage, simulate
from equivdm.errors import UsageError
from pipelines.capacity import TASK_S, Load, Machines, capacity
from pipelines.intake import session


@pytest.mark.parametrize(("items", "workers"), [(1, 1), (7, 3), (1000, 16)])
def test_items_of_one_length_come_in_rounds(items: int, workers: int) -> None:
    took = simulate([Stage(2.0, "cpu")], {"cpu": workers}, items, wave=items, spread=0.0)
    assert took == pytest.approx(2.0 * ceil(items / workers))


def test_a_pipeline_of_single_workers_goes_at_the_pace_of_the_slowest() -> None:
    stages = [Stage(1.0, "a"), Stage(3.0, "b"), Stage(2.0, "c")]
    took = simulate(stages, dict.fromkeys("abc", 1), 100, wave=100, spread=0.0)
    assert took == pytest.approx(1.0 + 100 * 3.0 + 2.0)


@pytest.mark.parametrize("seed", range(5))
def test_list_scheduling_is_within_graham_s_bound(seed: int) -> None:
    """Graham (1969): at most the work of a worker and, but for its own share, the longest item."""
    stage, workers, items = [Stage(1.0, "cpu")], 20, 300
    alone = simulate(stage, {"cpu": 1}, items, wave=items, seed=seed)  # the sum of all times
    everywhere = simulate(stage, {"cpu": items}, items, wave=items, seed=seed)  # the longest
    took = simulate(stage, {"cpu": workers}, items, wave=items, seed=seed)
    assert max(alone / workers, everywhere) <= took <= alone / workers + (1 - 1 / workers) * everywhere


def test_a_driver_starts_one_task_at_a_time() -> None:
    took = simulate([Stage(1.0, "cpu")] * 2, {"cpu": 1000}, 10_000, wave=10_000, task_s=0.01, spread=0.0)
    assert took == pytest.approx(2 * 10_000 * 0.01, rel=0.02)


def test_a_wave_waits_for_its_last_item() -> None:
    stage = [Stage(1.0, "cpu")]
    waves = simulate(stage, {"cpu": 100}, 10_000, wave=500)
    assert waves > 1.3 * simulate(stage, {"cpu": 100}, 10_000, wave=10_000)
    assert simulate(stage, {"cpu": 4}, 40, wave=20, start_s=5.0, spread=0.0) == pytest.approx(2 * (5.0 + 5.0))


LOADS = {
    "one stage": [Load("motion", 100_000, 12.0, 1.0)],
    "CPUs before GPUs": [Load("motion", 100_000, 20.0, 1.0), Load("latents", 100_000, 18.0, 0.0, 1.0)],
    "two kinds of actors": [Load("motion", 100_000, 5.0, 0.0, 1.0), Load("latents", 100_000, 15.0, 0.0, 1.0)],
    "many short tasks": [Load("motion", 100_000, 2.0, 1.0), Load("latents", 100_000, 1.0, 0.0, 1.0)],
}

MACHINES = Machines(cpus=600, gpus=400)


@pytest.mark.parametrize("name", LOADS)
def test_the_formula_says_what_the_simulation_of_a_thousand_workers_says(name: str) -> None:
    loads = LOADS[name]
    found = capacity(loads, MACHINES)
    assert found is not None
    stages, workers = [], {"CPUs": int(MACHINES.cpus)}
    for load in loads:
        stages.append(Stage(load.seconds, load.name if load.gpus else "CPUs"))
        workers[load.name] = int(MACHINES.gpus) if found.limit == "driver" else int(found.workers[load.name])
    took = simulate(stages, workers, 100_000, wave=session(1000), task_s=TASK_S)
    assert found.hours * 3600 == pytest.approx(took, rel=0.05)


def test_hours_are_needs_over_what_there_is() -> None:
    loads = [Load("decode", 1000, 3.6, 1.0), Load("motion", 1000, 36.0, 2.0), Load("latents", 500, 7.2, 1.0, 1.0)]
    found = capacity(loads, Machines(cpus=10, gpus=1))
    assert found is not None
    cpu, gpu = 1000 * 3.6 + 2 * 1000 * 36.0 + 500 * 7.2, 500 * 7.2
    assert found.limit == "CPUs"
    assert found.busy["GPUs"] / found.busy["CPUs"] == pytest.approx(gpu / (cpu / 10))
    assert found.workers["motion"] == pytest.approx(1000 * 36.0 / (cpu / 10))
    assert cpu / 10 < found.hours * 3600 < 1.05 * cpu / 10


def test_neighbours_of_the_same_needs_are_one_task_of_the_driver() -> None:
    loads = [Load("decode", 8e6, 0.001, 1.0), Load("plans", 9e6, 0.001, 1.0), Load("latents", 7e6, 0.001, 0.0, 1.0)]
    found = capacity(loads, Machines(cpus=1e6, gpus=1e6))
    assert found is not None
    assert found.limit == "driver"
    assert found.hours * 3600 == pytest.approx((9e6 + 7e6) * TASK_S, rel=1e-3)


def test_nothing_to_do_takes_no_time_and_what_is_absent_is_named() -> None:
    assert capacity([Load("motion", 0, 1.0, 1.0)], Machines(1)) is None
    with pytest.raises(UsageError, match="--gpus: got none"):
        capacity([Load("latents", 1, 1.0, 0.0, 1.0)], Machines(1))
