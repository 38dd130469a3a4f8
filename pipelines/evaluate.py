"""Videos to metrics: each generated video against the motion of its driving clip, one row per video and metric."""

from collections import defaultdict
from dataclasses import replace

import ray.data

from equivdm.errors import UsageError
from equivdm.flow import flow_identity
from equivdm.metrics import OF_MOTION, Case, measure
from equivdm.metrics.bootstrap import Interval, mean_interval
from pipelines.batch import Items, RunSummary, Work, as_items, run_items
from pipelines.clips import MOTION_COLUMNS, finished_clips, locate, motion_of, read_parts
from pipelines.config import EvaluateJob
from pipelines.identity import fingerprint, item_key
from pipelines.manifest import sandbox
from pipelines.record import Draft, recording
from pipelines.steps import NOBODY, settle, spread, step
from pipelines.store import Store, open_store
from pipelines.tables import Row, Table
from pipelines.tally import Reporter

VERSION = 2
"""Raised when the same video would give other values."""


def run(config: EvaluateJob) -> RunSummary:
    """Measure the sets of videos. The same call again measures only what is missing."""
    store = open_store(config.store)
    metrics, items = inputs(config, store)

    def pipeline(items: ray.data.Dataset, reporter: Reporter) -> ray.data.Dataset:
        given = {"store": store, "config": config, "table": metrics, "reporter": reporter}
        return spread(items, measure_video, config.work.task, **given)

    with recording(store, Draft("evaluate", config)) as draft:
        summary = run_items(draft, "evaluate", items, Work(metrics, pipeline, {"evaluate": config.work.task}))
    return replace(summary, record=draft.page, means=means(config, store))


def inputs(config: EvaluateJob, store: Store) -> tuple[Table, Items]:
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
    finished = [row for row in store.table("videos").rows(columns) if row["outcome"] == "done"]
    rows = [row for row in finished if row["clip"]]  # whole videos were measured when they were rendered
    names = {row["name"] for row in rows}
    for name in config.renders:
        if name not in names:
            if any(row["name"] == name for row in finished):
                raise UsageError(
                    f"renders: got {name!r}, a set of whole videos, wanted one of clips, of {sorted(names)}: "
                    "whole videos are measured when they are rendered (videos.metrics)"
                )
            raise UsageError(f"renders: got {name!r}, wanted one of {sorted(names)} in {store.url}; run render first")
    own = fingerprint({"stage": "evaluate", "version": VERSION, "flow": flow_identity(config.flow)})
    newest = _newest_per_clip([row for row in rows if row["name"] in config.renders])
    clips = finished_clips(store, {row["clip"] for row in newest})
    files = dict(zip([clip["key"] for clip in clips], locate(store, clips, MOTION_COLUMNS), strict=True))
    return store.table("metrics"), as_items(
        [
            {
                **{name: row[name] for name in ("name", "clip", "path", "file", "frames", "height", "width")},
                "video": row["key"],
                "files": files[row["clip"]],
                "key": item_key(row["key"], row["sha256"], own),
                "max_attempts": config.work.max_attempts,
            }
            for row in newest
        ]
    )


def means(config: EvaluateJob, store: Store) -> dict[str, dict[str, Interval]]:
    """Return the mean over clips of every metric, by set of videos, with a bootstrap interval."""
    table, items = inputs(config, store)
    values: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in config.renders}
    for row in table.rows(("name", "metric", "value", "outcome"), items.keys):
        if row["outcome"] == "done":
            values[row["name"]][row["metric"]].append(row["value"])
    return {
        name: {metric: mean_interval(found, config.bootstrap, seed=0) for metric, found in by_metric.items()}
        for name, by_metric in values.items()
    }


def measure_video(row: Row, store: Store, config: EvaluateJob, table: Table, reporter: Reporter = NOBODY) -> Row:
    """Measure one video, and settle the item with a row per metric (one without a metric where it failed)."""
    row = _measured(row, store, config, reporter=reporter)
    values = row.get("values") or {None: None}
    settled = settle(row, table, [{"metric": metric, "value": value} for metric, value in values.items()])
    reporter.flush()
    return settled


@step("evaluate")
def _measured(row: Row, store: Store, config: EvaluateJob) -> Row:
    """Decode the video as a viewer would and measure it against its clip's motion."""
    clip = read_parts(store, row["files"], MOTION_COLUMNS)
    with store.local_copy(row["file"]) as local:
        frames = sandbox(config.decode).decode(local, list(range(row["frames"])), (row["height"], row["width"]))
    return {"values": measure(Case(frames, motion_of(clip), config.flow), OF_MOTION)}


def _newest_per_clip(rows: list[Row]) -> list[Row]:
    # A set that was rendered again with another model or seed holds both; the newest is what its name means now.
    newest: dict[tuple[str, str], Row] = {}
    for row in sorted(rows, key=lambda row: row["created"]):
        newest[row["name"], row["clip"]] = row
    return sorted(newest.values(), key=lambda row: row["key"])
