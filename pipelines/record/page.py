"""A run's record as one page that needs no network."""

from typing import Any

import yaml

from pipelines.pages import duration, figure, page_template, percent
from pipelines.record.model import Part, RunRecord

COLOURS = 8
"""Of stages; a ninth has the first one's again."""


def render_page(record: RunRecord) -> str:
    """Return the HTML page of a record. Text from outside (paths, messages, settings) is escaped."""
    return page_template("record/page.html.jinja").render(
        record=record,
        lead=_lead(record),
        tiles=_tiles(record),
        parts=_placed(record),
        outcomes=[(name, record.counts.get(name, 0)) for name in ("done", "filtered", "quarantined", "pending")],
        settings=yaml.safe_dump(record.config, sort_keys=False, allow_unicode=True),
    )


def _lead(record: RunRecord) -> str:
    """The page's one sentence."""
    resources, took = record.resources, duration(record.wall_s)
    have = [(resources.cpus, "CPU"), (resources.gpus, "GPU"), (resources.nodes, "node")]
    machine = ", ".join(f"{count:g} {name}{'s' * (count != 1)}" for count, name in have if count)
    on = f" on {machine}" if machine else ""
    if record.items_per_s is None:
        return f"It ended after {took}{on}, before its items were added up."
    return f"{record.counts['new']:,} new of {record.counts.get('inputs', 0):,} inputs in {took}{on}."


def _tiles(record: RunRecord) -> list[tuple[str, str, str]]:
    """(value, name, remark) of the figures that stand first."""
    tiles = [(duration(record.wall_s), "wall time", f"{duration(record.start_up_s)} of it start-up")]
    if record.items_per_s is not None:
        frames = "" if record.frames_per_s is None else f"{figure(record.frames_per_s)} frames a second"
        tiles.insert(0, (figure(record.items_per_s), "items a second", frames))
    if record.busy is not None:
        remark = "in stages" if record.gpu_busy is None else f"in stages; GPUs {percent(record.gpu_busy)}"
        tiles.append((percent(record.busy), "of CPU time busy", remark))
    if record.prices is not None and record.cost is not None:
        currency = record.prices.currency
        per_1000 = "–" if record.cost_per_1000 is None else f"{record.cost_per_1000:,.2f}"
        tiles.append((f"{per_1000} {currency}", "per 1,000 clips", f"{record.cost:,.2f} {currency} this run"))
    return tiles


def _placed(record: RunRecord) -> list[dict[str, Any]]:
    """The parts of the time with where each begins in the bar, in [0, 1], and its colour."""
    placed, begin, stages = list[dict[str, Any]](), 0.0, 0
    for part in record.time:
        placed.append({"part": part, "begin": begin, "colour": _colour(part, stages)})
        begin += part.share
        stages += part.kind == "stage"
    return placed


def _colour(part: Part, stages: int) -> str:
    return f"var(--series-{stages % COLOURS})" if part.kind == "stage" else f"var(--{part.kind})"
