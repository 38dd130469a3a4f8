"""Tables of means and of comparisons, as Markdown."""

from collections.abc import Sequence
from math import floor, log10

from equivdm.findings.readings import reading_of
from equivdm.findings.result import Result
from equivdm.findings.trials import Place, Trials
from equivdm.findings.verdicts import Comparison, Finding, judge
from equivdm.metrics.bootstrap import Interval


def compared(comparisons: Sequence[Comparison], result: Result) -> list[str]:
    """Return a table of comparisons with their verdicts."""
    found = [judge(comparison, result.trials) for comparison in comparisons]
    return [*head(_COMPARED), *(_compared(finding, result.axis) for finding in found)]


_COMPARED = ("metric", "of", "claimed to be", "than of", "verdict")


def _compared(finding: Finding, axis: str | None) -> str:
    """A row of a table of comparisons."""
    comparison = finding.comparison
    better = f"{comparison.better.named(axis)}: {cell(finding.better)}"
    worse = f"{comparison.worse.named(axis)}: {cell(finding.worse)}"
    factor = f", by {comparison.factor:g} times at least" if comparison.factor != 1 else ""
    claimed = f"{'higher' if comparison.higher else 'lower'}{factor}"
    reading = reading_of(comparison.metric)
    times = f": {cell(finding.times)} times" if finding.times else ""
    return f"| {reading.named} | {better} | {claimed} | {worse} | **{finding.verdict}**{times} |"


def by_metric(trials: Trials, metrics: Sequence[str]) -> list[str]:
    """A row per variant, a column per metric."""
    variants = dict.fromkeys(variant for metric in metrics for variant in trials.variants(metric))
    lines = head(["variant", *(reading_of(metric).heading for metric in metrics)])
    for variant in variants:
        cells = [cell(trials.means.get(Place(metric, variant, None))) for metric in metrics]
        lines.append(f"| {variant} | {' | '.join(cells)} |")
    return lines


def by_place(result: Result, metric: str) -> list[str]:
    """A row per place on the axis, a column per variant; what has no place stands last."""
    trials, variants = result.trials, result.trials.variants(metric)
    places = {x for variant in variants for x in trials.places(metric, variant)}
    ordered: list[float | None] = [*sorted(x for x in places if x is not None), *([None] if None in places else [])]
    lines = head([str(result.axis), *variants])
    for x in ordered:
        cells = [cell(trials.means.get(Place(metric, variant, x))) for variant in variants]
        lines.append(f"| {'–' if x is None else f'{x:g}'} | {' | '.join(cells)} |")
    return lines


def head(names: Sequence[str]) -> list[str]:
    return [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]


def cell(mean: Interval | None) -> str:
    """`24.3 (23.9 to 24.8)`: as many figures as tell the ends of the interval apart."""
    if mean is None:
        return "–"
    width, size = mean.high - mean.low, max(abs(mean.low), abs(mean.high))
    if size and (size < 1e-3 or size >= 1e5):
        return f"{mean.mean:.1e} ({mean.low:.1e} to {mean.high:.1e})"
    decimals = min(4, max(0, 1 - floor(log10(width or size or 1.0))))
    return f"{mean.mean:.{decimals}f} ({mean.low:.{decimals}f} to {mean.high:.{decimals}f})"
