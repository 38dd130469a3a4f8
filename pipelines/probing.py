"""Videos of a source that a table does not know yet: they are probed on the cluster, and each gets its rows."""

from collections.abc import Callable
from itertools import chain

import pyarrow as pa

from equivdm.errors import ItemError
from pipelines.bars import Stages
from pipelines.batch import WAVE, execute
from pipelines.intake import intakes
from pipelines.record import Draft
from pipelines.settings import Resources
from pipelines.steps import failure, spread
from pipelines.tables import Row, Table
from pipelines.tally import Reporter


def probe_videos(
    draft: Draft,
    table: Table,
    unknown: pa.Table,
    probe: Callable[..., Row],
    resources: Resources,
    reporter: Reporter,
    lost: Callable[[ItemError, Row], Row],
    **arguments: object,
) -> None:
    """Run the step `probe` on videos and commit what it settles.

    Args:
        draft: of the run.
        table: takes the rows.
        unknown: the videos, each with its `key`, `attempt` and `run`.
        probe: (row, table=, reporter=, and the `arguments`) to what `pipelines.steps.settle` returns.
        resources: of the step.
        reporter: of this part of the run.
        lost: the row of a video whose process died.
        arguments: of the step.
    """
    with Stages(reporter, "probe", len(unknown), {}) as stages:
        draft.follow(stages, cpus={"probe": resources.cpus})
        waves = (unknown.slice(start, WAVE).to_pylist() for start in range(0, len(unknown), WAVE))
        crash = ItemError("the process that probed it died; see Ray's logs")
        for intake in intakes(chain.from_iterable(waves), draft.resources.cpus):
            common = {"table": table, "reporter": reporter, **arguments}
            execute(spread(intake.dataset(), probe, resources, **common), intake, table, draft, stages)
            table.append([lost(crash, video) for video in intake.lost])


def failed_probe(fault: BaseException, attempt: int, max_attempts: int) -> Row:
    """Return the outcome columns of a video that could not be probed: done where no other probe can help."""
    ended = failure(fault, attempt, max_attempts)
    return {**ended, "outcome": "done" if ended["outcome"] == "quarantined" else "failed"}
