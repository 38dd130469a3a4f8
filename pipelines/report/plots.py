"""Plots as SVG for a page with a light and a dark scheme: text stays text, and colours are the page's own variables."""

import io
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

from pipelines.models import ModelRecord
from pipelines.report.material import Material

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, ACCENT = "#010101", "#020202", "#030303"
"""Stand-ins that no plot uses for themselves; `svg` puts the page's variables in their place."""
SERIES = ("#040401", "#040402", "#040403", "#040404", "#040405", "#040406")
"""Stand-ins for the palette of methods and lines."""


def loss_curves(model: ModelRecord, colour: int | None) -> str:
    """A model's losses over its steps as SVG: the first metric in its method's colour, others beside it in grey."""
    lines: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for figure in (figure for figure in model.history if figure.is_loss):
        lines[figure.metric].append((figure.step, figure.value))
    canvas, axes = blank(width=4.6, height=2.4)
    own = ACCENT if colour is None else SERIES[colour % len(SERIES)]
    styles = [(own, "-"), (ACCENT, "--"), (ACCENT, ":"), (ACCENT, "-.")]
    for (metric, points), (line, style) in zip(lines.items(), cycle(styles), strict=False):
        steps, values = zip(*sorted(points), strict=True)
        marker = "o" if len(points) == 1 else None
        axes.plot(steps, values, style, color=line, linewidth=1.7, label=metric, marker=marker)
    if all(value > 0 for points in lines.values() for _, value in points):
        axes.set_yscale("log")
        _plain_ticks(axes)
    axes.set_xlabel("step")
    if len(lines) > 1:
        axes.legend(frameon=False, labelcolor=INK, fontsize=8)
    return svg(canvas, f"Losses of {model.name}")


def metric_curve(title: str, points: Sequence[tuple[int, float]], colour: int | None) -> str:
    """A figure over the steps as a small SVG, each (step, value) marked."""
    canvas, axes = blank(width=3.0, height=1.5)
    steps, values = zip(*points, strict=True)
    line = ACCENT if colour is None else SERIES[colour % len(SERIES)]
    axes.plot(steps, values, color=line, linewidth=1.7, marker="o", markersize=3)
    axes.locator_params(axis="x", integer=True, nbins=5)
    axes.locator_params(axis="y", nbins=4)
    return svg(canvas, title)


def stage_bars(seconds: Mapping[str, float]) -> str:
    """Seconds of each stage as horizontal bars, as SVG."""
    figure, axes = blank(width=6.4, height=0.34 * len(seconds) + 0.5)
    names, values = list(seconds)[::-1], list(seconds.values())[::-1]
    axes.barh(names, values, color=ACCENT, height=0.62)
    for place, value in enumerate(values):
        axes.annotate(f"  {value:.1f} s", (value, place), va="center", fontsize=8, color=INK)
    axes.set_xlim(0, max([*values, 1.0]) * 1.14)
    axes.grid(False)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    return svg(figure, "Seconds per stage")


def blank(width: float, height: float) -> "tuple[Figure, Axes]":
    """A figure of these inches, without background, with the page's stand-ins for its colours."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.grid(True, color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(which="both", colors=INK, labelsize=8, length=0)
    axes.xaxis.label.set(color=INK, fontsize=8)
    return figure, axes


def _plain_ticks(axes: "Axes") -> None:
    """0.2 and 0.5 rather than powers of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def svg(figure: "Figure", title: str) -> str:
    """The figure as an inline SVG element with the page's colours and font."""
    from matplotlib import rc_context

    sink = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure.savefig(sink, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
    text = sink.getvalue()
    text = re.sub(
        r"<metadata>.*?</metadata>|<style.*?</style>| font-family: [^;]*;", "", text[text.index("<svg") :], flags=re.S
    )
    text = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"|(<svg[^>]*?) height="[^"]*"', r"\1\2", text, count=1)
    for stand_in, variable in _variables().items():
        text = text.replace(stand_in, f"var({variable})")
    return text


def _variables() -> dict[str, str]:
    series = {stand_in: f"--series-{number}" for number, stand_in in enumerate(SERIES)}
    return {INK: "--ink-soft", FAINT: "--line", ACCENT: "--accent", **series}


def curves_of(material: Material) -> list[tuple[ModelRecord, str]]:
    """Every model with the plot of its losses; models without any are left out."""
    colours = {method.model.key: method.colour for method in material.methods if method.model}
    return [
        (model, loss_curves(model, colours.get(model.key)))
        for model in material.models
        if any(figure.is_loss for figure in model.history)
    ]
