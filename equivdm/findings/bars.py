"""The part of the page that tells whether the bars are reached, with all that helps to judge it."""

from collections.abc import Sequence

from equivdm.findings.claims import BARS, Bar
from equivdm.findings.readings import reading_of
from equivdm.findings.result import Result
from equivdm.findings.tables import cell, compared, head
from equivdm.findings.trials import Place
from equivdm.findings.verdicts import judge, place_of, together

LOOKS = ("sharpness", "contrast", "frechet_random_features")
"""What tells whether a side is better or only blurred."""

DRIVING = "driving"
"""The variant that others are measured beside: the driving clips themselves."""


def bars(results: Sequence[Result]) -> list[str]:
    """Return a table of the bars with their verdicts, then each with the comparisons that it is of."""
    by_name = {result.name: result for result in results}
    table, details = head(["", "bar", "trainings", "verdict"]), list[str]()
    for number, bar in enumerate(BARS, 1):
        result = by_name.get(bar.experiment)
        found = [judge(comparison, result.trials) for comparison in bar.comparisons] if result else []
        trainings = f"{len(result.trials.seeds)} of {result.wanted}" if result else "0"
        says = f"{bar.says} ([{bar.experiment}](#{anchor(bar.experiment)}))"
        table.append(f"| {number} | {says} | {trainings} | **{together(found)}** |")
        if result and result.trials.rows:
            details += _details(number, bar, result)
    return [*table, *details]


def _details(number: int, bar: Bar, result: Result) -> list[str]:
    lines = ["", f"### Bar {number}", "", bar.note, "", *compared(bar.comparisons, result)]
    if bar.beside:
        lines += ["", "Beside it, and not counted:", "", *compared(bar.beside, result)]
    looks = _looks(bar, result)
    return [*lines, "", "How both sides look:", "", *looks] if looks else lines


def _looks(bar: Bar, result: Result) -> list[str]:
    """A row a side of a comparison, and one for the driving clips; nothing where it was not measured."""
    trials = result.trials
    measured = [metric for metric in LOOKS if trials.variants(metric)]
    if not measured:
        return []
    comparisons = (*bar.comparisons, *bar.beside)
    sides = dict.fromkeys(side for each in comparisons for side in (each.better, each.worse))
    places = {side.named(result.axis): place_of(trials, measured[0], side) for side in sides}
    places[DRIVING] = Place(measured[0], DRIVING, None)
    lines = head(["", *(reading_of(metric).heading for metric in measured)])
    for name, place in places.items():
        cells = [cell(trials.means.get(place._replace(metric=metric)) if place else None) for metric in measured]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def anchor(name: str) -> str:
    """Return the link target of an experiment's section."""
    return name.replace("_", "-")
