"""Videos to metrics: each generated video against the motion of its driving clip, one row per video and metric."""

from collections import defaultdict
from dataclasses import replace
from functools import partial

import ray.data

from equivdm.errors import UsageError
from equivdm.flow import flow_identity
from equivdm.metrics import measure
from equivdm.metrics.bootstrap import Interval, mean_interval
from pipelines.batch import Row, Run, RunSummary, run_items, settle, step, task_retries
from pipelines.clips import MOTION_COLUMNS, motion_of, read_clips
from pipelines.config import EvaluateJob
from pipelines.identity import fingerprint, item_key
from pipelines.manifest import sandbox
from pipelines.store import Store, open_store
from pipelines.tables import Table

VERSION = 1
"""Raised when the same video would give other values."""


def run(config: EvaluateJob) -> RunSummary:
    """Measure the sets of videos. The same call again measures only what is missing."""
    this, store = Run("evaluate", "evaluate"), open_store(config.store)
    metrics, items = inputs(config, store)

    def pipeline(items: ray.data.Dataset) -> ray.data.Dataset:
        measured = partial(measure_video, store=store, config=config, table=metrics)
        return items.map(measured, num_cpus=config.work.cpus_per_task, ray_remote_args_fn=task_retries)

    return replace(run_items(this, config, items, metrics, pipeline), means=means(config, store))


def inputs(config: EvaluateJob, store: Store) -> tuple[Table, list[Row]]:
    """Return the table and the items of a job. Raises UsageError for a set without a finished video."""
    columns = (
        "key",
        "name",
        "clip",
        "path",
        "file",
        "frames",
        "height",
        "width",
        "sha256",
        "outcome",
        "created",
    )
    rows = [row for row in store.table("videos").rows(columns) if row["outcome"] == "done"]
    names = {row["name"] for row in rows}
    for name in config.renders:
        if name not in names:
            raise UsageError(f"renders: got {name!r}, wanted one of {sorted(names)} in {store.url}; run render first")
    own = fingerprint({"stage": "evaluate", "version": VERSION, "flow": flow_identity(config.flow)})
    newest = _newest_per_clip([row for row in rows if row["name"] in config.renders])
    return store.table("metrics"), [
        {
            **{name: row[name] for name in ("name", "clip", "path", "file", "frames", "height", "width")},
            "video": row["key"],
            "key": item_key(row["key"], row["sha256"], own),
            "max_attempts": config.work.max_attempts,
        }
        for row in newest
    ]


def means(config: EvaluateJob, store: Store) -> dict[str, dict[str, Interval]]:
    """Return the mean over clips of every metric, by set of videos, with a bootstrap interval."""
    table, items = inputs(config, store)
    values: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in config.renders}
    for row in table.rows(("name", "metric", "value", "outcome"), [item["key"] for item in items]):
        if row["outcome"] == "done":
            values[row["name"]][row["metric"]].append(row["value"])
    return {
        name: {metric: mean_interval(found, config.bootstrap, seed=0) for metric, found in by_metric.items()}
        for name, by_metric in values.items()
    }


def measure_video(row: Row, store: Store, config: EvaluateJob, table: Table) -> Row:
    """Measure one video, write a row per metric (one without a metric for a failed item), and hand on the receipt."""
    row = _measured(row, store, config)
    values = row.get("values") or {None: None}
    return settle(row, table, [{**row, "metric": metric, "value": value} for metric, value in values.items()])


@step
def _measured(row: Row, store: Store, config: EvaluateJob) -> Row:
    """Decode the video as a viewer would and measure it against its clip's motion."""
    (clip,) = read_clips(store, [row["clip"]], MOTION_COLUMNS)
    with store.local_copy(row["file"]) as local:
        frames = sandbox(config.decode).decode(local, list(range(row["frames"])), (row["height"], row["width"]))
    return {"values": measure(frames, motion_of(clip), config.flow)}


def _newest_per_clip(rows: list[Row]) -> list[Row]:
    # A set that was rendered again with another model or seed holds both; the newest is what its name means now.
    newest: dict[tuple[str, str], Row] = {}
    for row in sorted(rows, key=lambda row: row["created"]):
        newest[row["name"], row["clip"]] = row
    return sorted(newest.values(), key=lambda row: row["key"])
