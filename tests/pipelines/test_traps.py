"""What the jobs rely on in Ray Data, where defaults or older versions do something else."""

import os
from pathlib import Path
from typing import Any

import pytest

from pipelines.intake import items_alone
from pipelines.settings import RayConfig, Resources
from pipelines.steps import spread


def deadly(row: dict[str, Any], folder: str) -> dict[str, Any]:
    """End the process on one item, and leave a mark for each try."""
    if row["number"] == 3:
        Path(folder, str(len(os.listdir(folder)))).touch()
        os._exit(1)
    return row


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize(("resources", "tries"), [(Resources(), 2), (Resources(actors=1), 3)], ids=["tasks", "actors"])
def test_an_item_that_kills_its_process_costs_itself_and_few_tries(
    resources: Resources, tries: int, tmp_path: Path
) -> None:
    items = items_alone([{"number": number} for number in range(6)])
    assert items.num_blocks() == 6
    left = spread(items, deadly, resources, folder=str(tmp_path)).take_all()
    assert sorted(row["number"] for row in left) == [0, 1, 2, 4, 5]
    assert len(os.listdir(tmp_path)) == tries


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_a_slow_job_is_not_given_up_and_a_lost_block_is_no_end() -> None:
    from ray.data import DataContext

    context = DataContext.get_current()
    assert context.execution_no_progress_timeout_s == RayConfig().no_progress_s > 3600
    assert context.max_errored_blocks == -1
