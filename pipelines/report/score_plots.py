"""Plots of an evaluation: each metric by system, with its clips, and clip by clip against the baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from equivdm.metrics import METRICS, Metric
from pipelines.evaluation.comparison import Comparison
from pipelines.report.material import Material
from pipelines.report.plots import FAINT, INK, SERIES, blank, svg

SHOWN = 400
"""Clips of a system that are drawn at most, evenly over their values; means and intervals are of all."""


Value = TypeVar("Value")


@dataclass(frozen=True)
class ScorePlots:
    """The plots of one metric, as SVG."""

    metric: Metric
    intervals: str
    against: str
    """Clip by clip against the baseline; empty where there is nothing to compare."""


def score_plots(material: Material) -> list[ScorePlots]:
    """Return the plots of every metric that was measured, in the order of the table."""
    found, titles = material.found, {method.name: method.title for method in material.methods}
    names = [name for name in METRICS if any(name in means for means in found.means.values())]
    return [ScorePlots(METRICS[name], _intervals(name, found, titles), _against(name, found, titles)) for name in names]


def _intervals(metric: str, found: Comparison, titles: Mapping[str, str]) -> str:
    """A row a system: its clips as small dots, its mean as a large one, with the interval."""
    names = [name for name in found.scores.job.names if metric in found.means[name]]
    figure, axes = blank(width=3.6, height=0.4 * len(names) + 0.55)
    for row, name in enumerate(reversed(names)):
        colour, interval = _colour(name, found), found.means[name][metric]
        values = _thinned(list(found.scores.values[name][metric].values()))
        offsets = 0.2 * np.sin(np.arange(len(values)) * 2.4)  # apart, and the same at every call
        axes.plot(values, row + offsets, "o", color=colour, markersize=3.5, alpha=0.5, markeredgewidth=0)
        axes.plot([interval.low, interval.high], [row, row], color=colour, linewidth=2.4, solid_capstyle="round")
        axes.plot([interval.mean], [row], "o", color=colour, markersize=7)
    axes.set_yticks(range(len(names)), [titles[name] for name in reversed(names)])
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.grid(False, axis="y")
    axes.locator_params(axis="x", nbins=6)
    return svg(figure, f"{METRICS[metric].title} by system")


def _against(metric: str, found: Comparison, titles: Mapping[str, str]) -> str:
    """A dot a clip: the baseline's value across, another system's up; the line is where both are equal."""
    base = found.scores.values[found.scores.baseline].get(metric, {})
    others = [name for name in found.scores.job.names if metric in found.differences.get(name, {})]
    if not others:
        return ""
    figure, axes = blank(width=2.4, height=2.1)
    ends: list[float] = []
    for name in others:
        own = found.scores.values[name][metric]
        clips = _thinned(sorted(own.keys() & base.keys(), key=lambda clip: base[clip]))
        across, up = [base[clip] for clip in clips], [own[clip] for clip in clips]
        axes.plot(across, up, "o", color=_colour(name, found), markersize=4.5, alpha=0.75, markeredgewidth=0)
        ends += [min(*across, *up), max(*across, *up)]
    slack = 0.05 * (max(ends) - min(ends)) or 0.5
    low, high = min(ends) - slack, max(ends) + slack
    axes.plot([low, high], [low, high], color=INK, linewidth=0.8, dashes=(3, 3))
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_aspect("equal")
    axes.spines["left"].set(visible=True, color=FAINT)
    axes.locator_params(nbins=4)
    axes.set_xlabel(titles[found.scores.baseline])
    axes.set_ylabel(titles[others[0]] if len(others) == 1 else "the others", fontsize=8, color=INK)
    return svg(figure, f"{METRICS[metric].title}, clip by clip")


def _thinned(values: Sequence[Value]) -> list[Value]:
    if len(values) <= SHOWN:
        return list(values)
    return [values[round(place * (len(values) - 1) / (SHOWN - 1))] for place in range(SHOWN)]


def _colour(name: str, found: Comparison) -> str:
    return SERIES[found.scores.job.names.index(name) % len(SERIES)]
