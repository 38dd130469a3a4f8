"""What a person sees of a job's outcome, on stdout."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from jobs.console import console, say
from pipelines.batch import RunSummary

if TYPE_CHECKING:
    from equivdm.metrics.bootstrap import Interval
    from pipelines.evaluation.comparison import Difference
    from pipelines.fit import TrainSummary

SHOWN_FAILURES = 20
"""Failures that are listed; the table in the store has them all."""


def show_summary(summary: "RunSummary | TrainSummary") -> int:
    """Print what a job did and return the exit code: 0 when nothing is pending, quarantined or damaged."""
    console().print(f"[bold]{summary.job}[/] in {summary.seconds:.1f} s: {in_words(summary)}", soft_wrap=True)
    show_failures(summary)
    if isinstance(summary, RunSummary):
        if any(summary.means.values()) or any(summary.sets.values()):
            console().print(_means(summary))
        if any(summary.differences.values()):
            console().print(_differences(summary))
        for remark in summary.remarks:
            say(remark)
        if summary.report:
            say(f"report: {summary.report}")
        if summary.record:
            say(f"record of the run: {summary.record}")
    return 0 if summary.ok else 1


def in_words(summary: "RunSummary | TrainSummary") -> str:
    """`12 inputs = 10 done + 1 filtered + 1 quarantined + 0 pending; 3 new`, or what became of a model."""
    if isinstance(summary, RunSummary):
        return f"{counts_in_words(summary.counts)}; {summary.counts.get('new', 0)} new"
    figures = ", ".join(f"{name} {value:.3g}" for name, value in summary.figures.items())
    state = "new" if summary.fresh else "was there already"
    return f"{summary.model.name}, {summary.model.steps} steps, {figures}; {state}"


def counts_in_words(counts: Mapping[str, int]) -> str:
    """`12 inputs = 10 done + 1 filtered + 1 quarantined + 0 pending`."""
    parts = " + ".join(f"{counts[name]} {name}" for name in ("done", "filtered", "quarantined", "pending"))
    return f"{counts['inputs']} inputs = {parts}"


def show_failures(summary: "RunSummary | TrainSummary") -> None:
    """Print the items that failed and the objects that an audit found damaged; nothing where there are none."""
    if not isinstance(summary, RunSummary):
        return
    out = console()
    if summary.failures:
        out.print(_failures(summary))
    for problem in summary.problems:
        out.print(f"[red]damaged[/] {escape(problem)}", soft_wrap=True)


def _means(summary: RunSummary) -> Table:
    """A row per metric, a column per set of videos: mean and interval, or the figure of the whole set."""
    table = Table(box=SIMPLE, show_edge=False)
    table.add_column("mean (95% interval)")
    for name in summary.means:
        table.add_column(name)
    # A set of which no video could be measured has none.
    for metric in dict.fromkeys(metric for by_metric in summary.means.values() for metric in by_metric):
        table.add_row(metric, *(_interval(by_metric.get(metric)) for by_metric in summary.means.values()))
    for metric in dict.fromkeys(metric for by_metric in summary.sets.values() for metric in by_metric):
        values = [by_metric.get(metric) for by_metric in summary.sets.values()]
        table.add_row(metric, *("not measured" if value is None else f"{value:.4g}" for value in values))
    return table


def _differences(summary: RunSummary) -> Table:
    """A row per metric, a column per set of videos but the baseline: the difference, clip by clip."""
    table = Table(box=SIMPLE, show_edge=False)
    table.add_column(f"less {summary.baseline}, clip by clip")
    for name in summary.differences:
        table.add_column(name)
    for metric in dict.fromkeys(metric for by_metric in summary.differences.values() for metric in by_metric):
        table.add_row(metric, *(_difference(by_metric.get(metric)) for by_metric in summary.differences.values()))
    return table


def _difference(found: "Difference | None") -> str:
    if found is None:
        return "no clip in common"
    mean, low, high = (f"{value:+.3g}" for value in (found.interval.mean, found.interval.low, found.interval.high))
    ends = f" ({low} to {high})" if found.interval.known else ""
    better = "" if found.wins < 0 else f", better on {found.wins} of {found.interval.count}"
    return f"{mean}{ends}{better}"


def _interval(interval: "Interval | None") -> str:
    if interval is None:
        return "not measured"
    return f"{interval.mean:.4g}" + (f" ({interval.low:.4g} to {interval.high:.4g})" if interval.known else "")


def _failures(summary: RunSummary) -> Table:
    table = Table(box=SIMPLE, show_edge=False, title_justify="left")
    for name in ("video", "error", "message"):
        table.add_column(name, overflow="fold")
    for failure in summary.failures[:SHOWN_FAILURES]:
        table.add_row(*map(escape, failure))
    if len(summary.failures) > SHOWN_FAILURES:
        table.add_row(f"and {len(summary.failures) - SHOWN_FAILURES} more", "", "see the table in the store")
    return table
