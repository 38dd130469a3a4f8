"""The page of what experiments found, as Markdown: all of it follows from numbers, none is written by hand."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor, log10

from equivdm.findings.claims import BARS, CLAIMS
from equivdm.findings.readings import reading_of
from equivdm.findings.trials import RESAMPLES, Place, Trials
from equivdm.findings.verdicts import Comparison, Finding, judge, together
from equivdm.metrics.bootstrap import Interval

OPEN = 2
"""Metrics whose tables stand open; the others are folded."""


@dataclass(frozen=True)
class Result:
    """An experiment and what it found."""

    name: str
    title: str
    claim: str
    axis: str | None
    metrics: Sequence[str]
    trials: Trials
    command: str
    seconds: float
    """Of computing: its measurements, and the models that it needs, those of others among them."""
    models: int
    """How many it needs, those that they start from among them."""
    notes: Sequence[str] = ()
    pictures: Sequence[str] = ()
    """Lines of Markdown that show plots and videos."""


@dataclass(frozen=True)
class About:
    """What holds for all of a page."""

    machines: Sequence[str]
    dates: tuple[str, str]
    """Of the first and the last result."""
    seconds: float
    """Of computing, every model once."""
    wall_seconds: float | None
    """Of the runs, start-up and queues among them; None where that is not known."""
    command: str


def render(results: Sequence[Result], about: About) -> str:
    """Return the page."""
    lines = ["# What the paper's claims come to here", ""]
    lines += _about(about)
    lines += ["## The bars", "", *_bars(results), ""]
    lines += ["## The claims", "", *_overview(results), ""]
    lines += ["## How to read this", "", *_reading(), ""]
    for result in results:
        lines += _section(result)
    return "\n".join(lines).rstrip() + "\n"


def _about(about: About) -> list[str]:
    first, last = about.dates
    when = first if first == last else f"{first} to {last}"
    took = f"{about.seconds:,.0f} s of computing"
    if about.wall_seconds is not None:
        took += f", {about.wall_seconds:,.0f} s by the clock"
    return [
        f"Made by `{about.command}`: every number, plot and verdict below is computed, none is written by hand.",
        "",
        *(f"- Machine: {machine}" for machine in about.machines),
        f"- Date: {when}",
        f"- Time: {took}",
        "",
    ]


def _bars(results: Sequence[Result]) -> list[str]:
    """The bars with their verdicts, then the comparisons that these are of."""
    by_name = {result.name: result for result in results}
    told, figures = _head(["bar", "verdict"]), _head(_COMPARED)
    for bar in BARS:
        result = by_name.get(bar.experiment)
        found = [judge(comparison, result.trials) for comparison in bar.comparisons] if result else []
        told.append(f"| {bar.says} ([{bar.experiment}](#{anchor(bar.experiment)})) | **{together(found)}** |")
        figures += [_compared(finding, result.axis) for finding in found if result]
    return [*told, "", "They are of these comparisons:", "", *figures]


def _overview(results: Iterable[Result]) -> list[str]:
    lines = [
        "| experiment | comparisons that show | do not show | the other way | not measured |",
        "|---|---|---|---|---|",
    ]
    for result in results:
        found = [judge(comparison, result.trials).verdict for comparison in comparisons_of(result.name)]
        counts = [str(found.count(each)) for each in ("shows", "does not show", "the other way", "not measured")]
        lines.append(f"| [{result.title}](#{anchor(result.name)}) | {' | '.join(counts)} |")
    return lines


def _reading() -> list[str]:
    return [
        f"A cell is a mean over seeds and held-out clips, and its 95% interval: a bootstrap of {RESAMPLES:,} draws in "
        "which seeds (a training each, with clips of its own) and clips are both drawn anew, with replacement, "
        "independently of each other. With three seeds such an interval is rough, and too narrow rather than too wide.",
        "",
        "A comparison **shows** where the two intervals do not overlap and lie as claimed; it is **the other way** "
        "where they do not overlap and lie the other way round; in all other cases it **does not show**. ↑ marks "
        "metrics of which higher is better, ↓ those of which lower is better. `driving` is the driving clips "
        "themselves.",
    ]


def _section(result: Result) -> list[str]:
    lines = [f'<a id="{anchor(result.name)}"></a>', "", f"## {result.title}", "", f"> {result.claim}", ""]
    if not result.trials.rows:
        return [*lines, f"Not measured. `{result.command}` measures it.", ""]
    lines += [_sizes(result), ""]
    lines += [*_verdicts(result), ""]
    for picture in result.pictures:
        lines += [picture, ""]
    found = [metric for metric in result.metrics if result.trials.variants(metric)]
    lines += _tables(result, found[:OPEN])
    if found[OPEN:]:
        lines += ["<details><summary>Other metrics</summary>", "", *_tables(result, found[OPEN:]), "</details>", ""]
    lines += [f"- {note}" for note in result.notes]
    return [*lines, ""] if result.notes else lines


def _sizes(result: Result) -> str:
    trials = result.trials
    models = f"{result.models} models" if result.models else "no model"
    return (
        f"`{result.command}`: {len(trials.seeds)} seeds, {trials.clips} held-out clips each, {models}, "
        f"{result.seconds:,.0f} s of computing."
    )


def _verdicts(result: Result) -> list[str]:
    found = [judge(comparison, result.trials) for comparison in comparisons_of(result.name)]
    return [*_head(_COMPARED), *(_compared(finding, result.axis) for finding in found)]


_COMPARED = ("metric", "of", "claimed to be", "than of", "verdict")


def _compared(finding: Finding, axis: str | None) -> str:
    """A row of a table of comparisons."""
    comparison = finding.comparison
    better = f"{comparison.better.named(axis)}: {cell(finding.better)}"
    worse = f"{comparison.worse.named(axis)}: {cell(finding.worse)}"
    factor = f", by {comparison.factor:g} times at least" if comparison.factor != 1 else ""
    claimed = f"{'higher' if comparison.higher else 'lower'}{factor}"
    reading = reading_of(comparison.metric)
    return f"| {reading.named} | {better} | {claimed} | {worse} | **{finding.verdict}** |"


def _tables(result: Result, metrics: Sequence[str]) -> list[str]:
    if result.axis is None:
        return [*_by_metric(result.trials, metrics), ""]
    lines: list[str] = []
    for metric in metrics:
        lines += [f"{_capital(reading_of(metric).heading)}:", "", *_by_place(result, metric), ""]
    return lines


def _by_metric(trials: Trials, metrics: Sequence[str]) -> list[str]:
    """A row per variant, a column per metric."""
    variants = dict.fromkeys(variant for metric in metrics for variant in trials.variants(metric))
    lines = _head(["variant", *(reading_of(metric).heading for metric in metrics)])
    for variant in variants:
        cells = [cell(trials.means.get(Place(metric, variant, None))) for metric in metrics]
        lines.append(f"| {variant} | {' | '.join(cells)} |")
    return lines


def _by_place(result: Result, metric: str) -> list[str]:
    """A row per place on the axis, a column per variant; what has no place stands last."""
    trials, variants = result.trials, result.trials.variants(metric)
    places = {x for variant in variants for x in trials.places(metric, variant)}
    ordered: list[float | None] = [*sorted(x for x in places if x is not None), *([None] if None in places else [])]
    lines = _head([str(result.axis), *variants])
    for x in ordered:
        cells = [cell(trials.means.get(Place(metric, variant, x))) for variant in variants]
        lines.append(f"| {'–' if x is None else f'{x:g}'} | {' | '.join(cells)} |")
    return lines


def _head(names: Sequence[str]) -> list[str]:
    return [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]


def comparisons_of(experiment: str) -> Sequence[Comparison]:
    """Return what an experiment must show; nothing is claimed of one that nobody has written comparisons for."""
    return CLAIMS[experiment].comparisons if experiment in CLAIMS else ()


def cell(mean: Interval | None) -> str:
    """`24.3 (23.9 to 24.8)`: as many figures as tell the ends of the interval apart."""
    if mean is None:
        return "–"
    width, size = mean.high - mean.low, max(abs(mean.low), abs(mean.high))
    if size and (size < 1e-3 or size >= 1e5):
        return f"{mean.mean:.1e} ({mean.low:.1e} to {mean.high:.1e})"
    decimals = min(4, max(0, 1 - floor(log10(width or size or 1.0))))
    return f"{mean.mean:.{decimals}f} ({mean.low:.{decimals}f} to {mean.high:.{decimals}f})"


def anchor(name: str) -> str:
    """Return the link target of an experiment's section."""
    return name.replace("_", "-")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
