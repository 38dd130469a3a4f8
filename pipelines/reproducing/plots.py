"""Plots of what experiments found, as PNG files that can be read on a white page and on a dark one."""

import io
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from equivdm.findings.bars import DRIVING
from equivdm.findings.readings import reading_of
from equivdm.findings.result import Result
from equivdm.findings.trials import Place, Trials

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT = "#808080", "#80808055"
"""Grey with a contrast of four to one on white and on black alike."""

COLOURS = ("#2F86CC", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's, which the colour-blind tell apart, with a lighter blue for dark pages; faint ones come last."""

PANELS = 6
"""Metrics that are drawn, those with a better side first."""

_STYLES = ("-", "--", ":", "-.")
_LOGARITHMIC = 30.0
"""A panel whose means differ by more is drawn in factors."""


def plot(result: Result, path: Path) -> None:
    """Draw means and 95% intervals: along the axis where there is one, else a line a variant."""
    from matplotlib.figure import Figure

    found = [metric for metric in result.metrics if result.trials.variants(metric)]
    metrics = sorted(found, key=lambda metric: reading_of(metric).higher is None)[:PANELS]
    columns = min(3 if len(metrics) > 4 else 2, len(metrics))
    height = 2.6 if result.axis else 0.6 + 0.24 * len(_variants(result.trials, metrics))
    figure = Figure(figsize=(4.6 * columns, height * ceil(len(metrics) / columns) + 0.5), layout="constrained")
    figure.patch.set_alpha(0)
    panels = figure.subplots(ceil(len(metrics) / columns), columns, squeeze=False).ravel()
    for panel, metric in zip(panels, metrics, strict=False):
        _dress(panel, reading_of(metric).heading)
        (_curves if result.axis else _dots)(panel, result, metric)
    for panel in panels[len(metrics) :]:
        panel.set_visible(False)
    if result.axis:
        handles = {label: handle for panel in panels for handle, label in zip(*panel.get_legend_handles_labels())}  # noqa: B905
        figure.legend(
            handles.values(), handles, loc="outside lower center", ncols=4, frameon=False, labelcolor=INK, fontsize=8
        )
    _save(figure, path)


def _save(figure: "Figure", path: Path) -> None:
    """Write it with a palette of its own: a third of the bytes."""
    from PIL import Image

    sink = io.BytesIO()
    figure.savefig(sink, dpi=96)
    Image.open(sink).quantize(255, Image.Quantize.FASTOCTREE).save(path, optimize=True)


def _variants(trials: Trials, metrics: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(variant for metric in metrics for variant in trials.variants(metric)))


def _looks(variants: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and line of each variant: `name, condition` has the colour of its name and the line of its condition."""
    parts = {variant: variant.partition(", ")[::2] for variant in variants}
    names = list(dict.fromkeys(name for name, _ in parts.values()))
    conditions = list(dict.fromkeys(condition for _, condition in parts.values()))
    return {
        variant: (COLOURS[names.index(name) % len(COLOURS)], _STYLES[conditions.index(condition) % len(_STYLES)])
        for variant, (name, condition) in parts.items()
    }


def _curves(panel: "Axes", result: Result, metric: str) -> None:
    """A line a variant with a band; what has no place on the axis is a level."""
    trials = result.trials
    moving = [variant for variant in trials.variants(metric) if trials.places(metric, variant) != [None]]
    looks, every = _looks(moving), list[float]()
    for variant in moving:
        xs = [x for x in trials.places(metric, variant) if x is not None]
        means = [trials.means[Place(metric, variant, x)] for x in xs]
        colour, style = looks[variant]
        panel.plot(xs, [m.mean for m in means], style, color=colour, marker="o", markersize=3, label=variant)
        panel.fill_between(xs, [m.low for m in means], [m.high for m in means], color=colour, alpha=0.2, linewidth=0)
        every += xs
    for variant in (each for each in trials.variants(metric) if each not in moving):
        panel.axhline(trials.means[Place(metric, variant, None)].mean, color=INK, linestyle=":", label=variant)
    panel.set_xlabel(str(result.axis))
    if every and min(every) > 0 and max(every) / min(every) >= 16:
        panel.set_xscale("log", base=2)
        panel.set_xticks(sorted(set(every)), [f"{x:g}" for x in sorted(set(every))])
    _scale(panel, trials, metric)


def _dots(panel: "Axes", result: Result, metric: str) -> None:
    """A dot a variant with its interval; the first variant stands at the top."""
    trials, variants = result.trials, result.trials.variants(metric)
    looks = _looks([variant for variant in variants if variant != DRIVING]) | {DRIVING: (INK, "-")}
    for place, variant in enumerate(reversed(variants)):
        mean = trials.means[Place(metric, variant, None)]
        panel.plot([mean.low, mean.high], [place, place], color=looks[variant][0], linewidth=2.4)
        panel.plot([mean.mean], [place], "o", color=looks[variant][0], markersize=5)
    panel.set_yticks(range(len(variants)), variants[::-1])
    panel.set_ylim(-0.6, len(variants) - 0.4)
    _scale(panel, trials, metric, vertical=False)


def _scale(panel: "Axes", trials: Trials, metric: str, vertical: bool = True) -> None:
    means = [mean for place, mean in trials.means.items() if place.metric == metric]
    if min(mean.low for mean in means) > 0 and max(m.mean for m in means) > _LOGARITHMIC * min(m.mean for m in means):
        (panel.set_yscale if vertical else panel.set_xscale)("log")


def _dress(panel: "Axes", title: str) -> None:
    panel.patch.set_alpha(0)
    panel.set_title(title, color=INK, fontsize=9, loc="left")
    panel.grid(True, color=FAINT, linewidth=0.7)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color(FAINT)
    panel.tick_params(which="both", colors=INK, labelsize=8, length=0)
    panel.xaxis.label.set(color=INK, fontsize=8)
