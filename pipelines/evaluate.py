"""Videos to metrics: each generated video against the motion of its driving video, one row per video and metric.

probes     a row a video that was not made here: content, size, length
metrics    a row a video and metric, each under a key of all that decides it
features   what networks see in a video, for metrics that compare whole sets
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import ray.data

from pipelines.batch import Items, RunSummary, Work, run_items
from pipelines.config import EvaluateJob
from pipelines.evaluation.comparison import compare
from pipelines.evaluation.items import Evaluation, evaluation_of
from pipelines.evaluation.listing import list_sources, probe_films, unknown_films
from pipelines.evaluation.measuring import measure_by_networks, measure_pixels, settle_each
from pipelines.evaluation.remarks import remarks
from pipelines.evaluation.scores import read_scores
from pipelines.ray_session import ray_session
from pipelines.record import Draft, recording
from pipelines.report import report_place, write_report
from pipelines.room import check_room
from pipelines.settings import Resources
from pipelines.steps import in_turn, spread, spread_apart
from pipelines.store import Store, open_store, writable_folder
from pipelines.tables import Row, Table
from pipelines.tally import Reporter, start_tally


def run(config: EvaluateJob) -> RunSummary:
    """Measure the sets and systems, and write the report. The same call again measures only what is missing."""
    store, listing = open_store(config.store), list_sources(config)
    steps = steps_of(evaluation_of(config, store, listing))  # what cannot work is said before anything is probed
    writable_folder(report_place(config), "report")
    with recording(store, Draft("evaluate", config)) as draft, ExitStack() as session:
        unknown, reporter = unknown_films(store, listing, draft.run), None
        if len(unknown):
            with draft.start_up():
                session.enter_context(ray_session(config.ray))
                reporter = start_tally(draft.job)
            for needs in ({"probe": config.work.probe}, steps):  # now, not when all videos are probed
                check_room(needs, config.ray)
            probe_films(draft, store, config, unknown, reporter)
        found = evaluation_of(config, store, listing)
        work = Work(found.table, partial(_pipeline, found), steps_of(found), found.prepare)
        summary = run_items(draft, "evaluate", found.items(), work, reporter)
    compared = compare(read_scores(found))
    return replace(
        summary,
        record=draft.page,
        failures=list(dict.fromkeys(summary.failures)),  # a video that cannot be decoded fails for each metric
        means=compared.means,
        sets=compared.scores.sets,
        differences=compared.differences,
        baseline=compared.scores.baseline,
        remarks=remarks(compared),
        report=write_report(compared, store),
    )


def inputs(config: EvaluateJob, store: Store) -> tuple[Table, Items]:
    """Return the table and the items of a job, as the store knows them. Raises UsageError where it cannot work."""
    found = evaluation_of(config, store)
    return found.table, found.items()


def parts(config: EvaluateJob, store: Store) -> dict[str, set[str]]:
    """Return the keys of the features that a job's metrics of whole sets compare, by table."""
    return {"features": {each.key for wanted in evaluation_of(config, store).wanted for each in wanted if each.of}}


def steps_of(found: Evaluation) -> dict[str, Resources]:
    """Return what each step takes, by its name. Without a metric that looks through a network there is none of them."""
    work = found.job.work
    return {"evaluate": work.task, "networks": work.networks} if found.measures.networks else {"evaluate": work.task}


def _pipeline(found: Evaluation, items: ray.data.Dataset, reporter: Reporter) -> ray.data.Dataset:
    given = {"job": found.job, "store": found.store, "table": found.table, "reporter": reporter}
    *others, last = steps_of(found).values()
    functions = [measure_pixels, measure_by_networks][: len(others) + 1]
    if others and others != [last]:
        items, functions = spread(items, measure_pixels, others[0], **given), [measure_by_networks]
    return spread_apart(items, measure_in_turn, last, functions=functions, **given)


def measure_in_turn(
    row: Row, functions: list[Callable[..., Row]], table: Table, reporter: Reporter, **given: object
) -> Iterator[Row]:
    """Run the last steps on a worker, and settle what they found, value by value."""
    row = in_turn(row, functions, table=table, reporter=reporter, **given)
    yield from settle_each(row, table, reporter)
