"""Experiments on the paper's claims: the models that they need, wave by wave, then what they measure of them.

    trials   a row a model: its weights' file         bases, then fine-tunes, then students
             a row a number                           every experiment, for every seed
    footage  a few videos of each measurement

Each wave is a batch job of its own on the same Ray. A model that several experiments need is made once. What starts
from a model that failed stays pending.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import ray.data

from pipelines.batch import Items, RunSummary, Work, as_items, count, run_items
from pipelines.config import ReproduceJob
from pipelines.ray_session import ray_session
from pipelines.record import Draft, recording
from pipelines.reproducing import worker
from pipelines.reproducing.items import MeasurementItem, ModelItem, measurement_items, model_items, model_key
from pipelines.room import check_room
from pipelines.settings import Resources
from pipelines.steps import spread
from pipelines.store import Store, open_store
from pipelines.tables import Row, Table
from pipelines.tally import Reporter, start_tally


def run(config: ReproduceJob) -> RunSummary:
    """Make the models and measure. The same call again does only what is missing."""
    store = open_store(config.store)
    table, items = inputs(config, store)
    with recording(store, Draft("reproduce", config)) as draft, ExitStack() as session:
        reporter = None
        if count(items.keys, table.states())["pending"]:
            with draft.start_up():
                session.enter_context(ray_session(config.ray))
                for name, needs in (("models", config.work.model), ("measure", config.work.measure)):
                    check_room({name: needs}, config.ray)
                reporter = start_tally(draft.job)
        waves = [run_items(draft, label, ready, work, reporter) for label, ready, work in _waves(config, store)]
        counts = {**count(items.keys, table.states()), "new": sum(wave.counts["new"] for wave in waves)}
        draft.counts, draft.failures = counts, [failure for wave in waves for failure in wave.failures]
        problems = list(dict.fromkeys(problem for wave in waves for problem in wave.problems))
        summary = RunSummary(draft.job, draft.seconds, counts, draft.failures, problems)
    return replace(summary, record=draft.page)


def inputs(config: ReproduceJob, store: Store) -> tuple[Table, Items]:
    """Return the table and all items of a job: models and measurements."""
    measurements = measurement_items(config.studies)
    models = [_model_row(item, config) for wave in model_items(measurements) for item in wave]
    return store.table("trials"), as_items([*models, *(_measurement_row(item, config) for item in measurements)])


def _waves(config: ReproduceJob, store: Store) -> Iterator[tuple[str, Items, Work]]:
    """Yield what can be done, wave by wave: each is asked for when the one before has ended."""
    table, measurements = store.table("trials"), measurement_items(config.studies)
    for depth, wave in enumerate(model_items(measurements), start=1):
        rows = [_model_row(item, config) for item in wave]
        needed = [[item.base] if item.base else [] for item in wave]
        yield (
            f"models, wave {depth}",
            as_items(_ready(table, rows, needed)),
            _work(worker.make, "models", config.work.model, store),
        )
    rows = [_measurement_row(item, config) for item in measurements]
    needed = [[model_key(spec) for spec in item.asked] for item in measurements]
    items = as_items(_ready(table, rows, needed))
    yield "measurements", items, _work(worker.measure, "measure", config.work.measure, store)


def _ready(table: Table, rows: Sequence[Row], needed: Sequence[Sequence[str]]) -> list[Row]:
    """Return the rows whose models are all done."""
    states = table.states()
    done = {key for keys in needed for key in keys if key in states and states[key].outcome == "done"}
    return [row for row, keys in zip(rows, needed, strict=True) if done.issuperset(keys)]


def _work(function: Callable[..., Row], name: str, needs: Resources, store: Store) -> Work:
    table = store.table("trials")

    def pipeline(items: ray.data.Dataset, reporter: Reporter) -> ray.data.Dataset:
        return spread(items, function, needs, store=store, table=table, needs=needs, reporter=reporter)

    return Work(table, pipeline, {name: needs})


def _model_row(item: ModelItem, config: ReproduceJob) -> Row:
    return _row(item, config, kind="model", experiment=None, seed=item.spec.seed, device=item.device)


def _measurement_row(item: MeasurementItem, config: ReproduceJob) -> Row:
    device = item.spec.device
    return _row(item, config, kind="measurement", experiment=item.experiment, seed=item.seed, device=device)


def _row(item: ModelItem | MeasurementItem, config: ReproduceJob, **columns: Any) -> Row:
    common = {"key": item.key, "path": item.name, "spec": item.spec.model_dump_json()}
    return {**common, "max_attempts": config.work.max_attempts, **columns}
