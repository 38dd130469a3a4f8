"""What a pipeline needs at the least, and what a job says to a Ray that is too small."""

import pytest

from equivdm.errors import UsageError
from pipelines.ray_session import ray_session
from pipelines.room import check_room, least
from pipelines.settings import RayConfig, Resources

ONE, HALF = Resources(), Resources(cpus=0.5)
ACTOR = Resources(cpus=1, actors=2, gpus=1, memory_mib=100)


@pytest.mark.parametrize(
    ("steps", "cpus"),
    [
        ([ONE, ONE, ONE], 1),  # one task
        ([ONE, HALF, ONE], 1),  # three tasks, which take turns
        ([ONE, ACTOR], 3),
        ([ACTOR, ACTOR], 2),  # joined
        ([ACTOR, HALF, ACTOR], 4.5),
        ([Resources(gpus=1)], 1),  # one actor, unless a number is given
        ([], 0),
    ],
)
def test_actors_stay_and_tasks_take_turns(steps: list[Resources], cpus: float) -> None:
    assert least({str(number): step for number, step in enumerate(steps)}, "cpus") == cpus


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (
            {"decode": ONE, "motion": Resources(actors=2)},
            r"need 3 CPUs at once \(decode 1, motion 2 x 1\), but Ray has 2",
        ),
        ({"motion": Resources(gpus=0.5)}, r"need 0.5 GPUs at once \(motion 1 x 0.5\), but Ray has 0"),
        (
            {"plans": Resources(memory_mib=10**8)},
            r"need 1e\+08 MiB of memory at once \(plans 1e\+08\), but Ray has \d+",
        ),
    ],
)
def test_an_embedded_ray_that_is_too_small_is_told_so_and_a_cluster_waited_for(
    steps: dict[str, Resources], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    check_room({"decode": ONE, "motion": Resources(actors=1)}, RayConfig())
    with pytest.raises(UsageError, match=message):
        check_room(steps, RayConfig())
    check_room(steps, RayConfig(address="auto"))
    assert "waiting for machines to join" in capsys.readouterr().err
    with ray_session(RayConfig(cpus=1)):  # joins the one that is open, however small it says it is
        check_room({"decode": Resources(cpus=2)}, RayConfig(cpus=1))
