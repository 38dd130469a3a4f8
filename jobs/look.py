"""What a person, or a program (`--json`), sees of a job and its store without running it, on stdout."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from jobs.console import console, say
from jobs.show import counts_in_words
from pipelines.capacity import Capacity
from pipelines.estimate import Estimate
from pipelines.garbage import Orphan
from pipelines.plan import Plan, StagePlan
from pipelines.status import Failures, JobStatus, LastValidation
from pipelines.tables import Row

SHOWN = 50
"""Rows of a list that are shown; `--json` has them all."""

_NOT_MEASURED = "not measured yet"

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def show_plan(plan: Plan, as_json: bool) -> int:
    """Print a plan and return the exit code."""
    if as_json:
        return _json(asdict(plan))
    say(f"{plan.job}: {counts_in_words(plan.counts)}")
    if plan.unprobed:
        mean = plan.windows_per_video
        what = "values" if plan.job == "evaluate" else "windows"
        windows = f"their {what} are not known yet" if mean is None else f"at {mean:.3g} {what} a video"
        say(f"{plan.unprobed} videos to probe, {windows}")
    _print(("stage", "items", "expected", "s each", "bytes each"), [_stage(stage) for stage in plan.stages])
    for line in _totals(plan):
        say(line)
    return 0 if plan.estimate is None else show_estimate(plan.estimate, as_json=False)


def show_estimate(found: Estimate, as_json: bool) -> int:
    """Print what a training takes of a device, and return the exit code."""
    if as_json:
        return _json({**asdict(found), "bytes": found.bytes})
    frames, height, width = found.clip
    say(f"{found.parameters:,} weights, of which {found.trained:,} are trained; clips of {frames}x{height}x{width}")
    places = [("device", found.on_device), ("host", found.on_host), ("first host", {"average, saved": found.saved})]
    rows = [(place, name, _gb(size)) for place, held in places for name, size in held.items()]
    _print(("one worker", "holds", "GB"), [*rows, ("device", "in all", _gb(found.bytes))])
    say(f"{found.device} has {found.memory / 1e9:.0f} GB: " + (found.advice or "it fits"))
    say(f"a machine with all workers gives them {_gb(found.machine)} GB of its own memory")
    say(
        f"{found.flops:.3g} FLOPs a step: {found.seconds_per_step:.3g} s a step, {found.hours:,.3g} hours in all, on "
        f"the assumption of {found.mfu:.0%} of the peak of {found.device}"
    )
    if found.cost is not None:
        say(f"{found.cost:,.2f} at the prices of ray.cost")
    return 0


def _gb(size: float) -> str:
    return f"{size / 1e9:,.3g}"


def show_status(status: JobStatus, as_json: bool) -> int:
    """Print how a job stands, and return the exit code: 0 when nothing is pending or quarantined."""
    code = 0 if status.ok else 1
    if as_json:
        return _json({**asdict(status), "ok": status.ok}) or code
    say(f"{status.job}: {counts_in_words(status.counts)}")
    if status.claim:
        say(f"at work: {status.claim}")
    if status.validation:
        say(_validation(status.validation))
    _print(("filtered by", "items"), [(rule, f"{items:,}") for rule, items in status.filtered.items()])
    _print(("failures", "error", "items", "for example", ""), [_failures(each) for each in status.failures])
    _print(
        ("table", "files", "size"),
        [(table.name, f"{table.files:,}", in_bytes(table.bytes)) for table in status.tables],
    )
    runs = [
        (f"{run.started:%Y-%m-%d %H:%M}", run.status, _number(run.new, ","), _number(run.items_per_s, ".3g"), run.page)
        for run in status.runs
    ]
    _print(("last runs (UTC)", "status", "new", "items/s", "page"), runs)
    return code


def show_quarantine(rows: Sequence[Row], as_json: bool) -> int:
    """Print the items in quarantine and return the exit code."""
    names = ("key", "path", "error", "message", "attempt")
    if as_json:
        return _json([{name: row[name] for name in names} for row in rows])
    say(f"{len(rows)} in quarantine")
    shown = [(row["key"][:12], row["path"], row["error"], row["message"], str(row["attempt"])) for row in rows[:SHOWN]]
    _print(("key", "path", "error", "message", "attempts"), shown)
    _and_more(len(rows))
    return 0


def show_garbage(url: str, files: Sequence[Orphan], dry_run: bool, as_json: bool) -> int:
    """Print the orphans of a store, found or deleted, and return the exit code."""
    size = sum(file.bytes for file in files)
    if as_json:
        found = [{"path": file.path, "bytes": file.bytes} for file in files]
        return _json({"store": url, "deleted": not dry_run, "bytes": size, "files": found})
    say(f"{url}: {len(files)} orphans of {in_bytes(size)} {'found' if dry_run else 'deleted'}")
    _print(("file", "size"), [(file.path, in_bytes(file.bytes)) for file in files[:SHOWN]])
    _and_more(len(files))
    return 0


def in_bytes(size: float) -> str:
    """`1.5 MiB`, to three figures."""
    unit = 0
    while size >= 1024 and unit + 1 < len(_UNITS):
        size, unit = size / 1024, unit + 1
    return f"{size:.3g} {_UNITS[unit]}"


def _json(values: Any) -> int:
    def plain(value: object) -> object:
        return value.model_dump() if isinstance(value, BaseModel) else str(value)

    say(json.dumps(values, indent=2, default=plain, ensure_ascii=False))
    return 0


def _print(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, nothing where it has no rows."""
    if not rows:
        return
    table = Table(box=SIMPLE, show_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    console().print(table)


def _and_more(number: int) -> None:
    if number > SHOWN:
        say(f"and {number - SHOWN} more: see --json")


def _stage(stage: StagePlan) -> tuple[str, ...]:
    seconds = _NOT_MEASURED if stage.seconds_each is None else f"{stage.seconds_each:.3g}"
    size = _NOT_MEASURED if stage.bytes_each is None else in_bytes(stage.bytes_each)
    return stage.name, f"{stage.items:,}", _number(stage.expected, ",.0f"), seconds, size


def _totals(plan: Plan) -> list[str]:
    """What it comes to, in lines; where something was not measured there is no figure."""
    if plan.cpu_hours is None or plan.gpu_hours is None or plan.bytes is None:
        return ["time, bytes and cost: no figure before a run has measured every stage that is needed"]
    runs = f" (means of {', '.join(plan.measured)})" if plan.measured else ""
    lines = [f"{plan.cpu_hours:.3g} CPU hours, {plan.gpu_hours:.3g} GPU hours, {in_bytes(plan.bytes)} to write{runs}"]
    if plan.cost is not None:
        lines.append(f"{plan.cost:,.2f} {plan.currency}, without start-up and idle machines")
    if plan.capacity is not None:
        lines += _clock(plan.capacity, plan.stages)
    return lines


def _clock(found: Capacity, stages: Sequence[StagePlan]) -> list[str]:
    busy = ", ".join(f"{name} {share:.0%}" for name, share in found.busy.items())
    lines = [f"{found.hours:,.3g} hours by the clock; at work: {busy}"]
    if found.limit == "driver":
        lines.append(
            "the driver is the limit: divide the source (source.include) among several jobs into the same store"
        )
    actors = [f"{stage.name} {found.workers[stage.name]:,.3g}" for stage in stages if stage.gpus and stage.items]
    if actors:
        lines.append(f"actors that keep the GPUs busy, by stage: {', '.join(actors)}")
    return lines


def _validation(last: LastValidation) -> str:
    figures = ", ".join(f"{name} {value:.3g}" for name, value in last.figures.items())
    videos = f"{last.videos} video{'s' * (last.videos != 1)}"
    return f"validated after step {last.step}: {figures}; {videos} in {last.folder}"


def _failures(each: Failures) -> tuple[str, ...]:
    first = each.examples[0]
    return each.outcome, each.error, f"{each.count:,}", first.path, first.message


def _number(value: float | None, form: str) -> str:
    return "not known" if value is None else format(value, form)
