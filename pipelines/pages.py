"""HTML pages that need no network: one look, light and dark, and one way to write figures for all of them."""

import functools
from typing import Any


@functools.cache
def page_template(name: str) -> Any:
    """Return a template of this package, such as `report/page.html.jinja`; what is put into it gets escaped.

    It may use the functions below as filters, and include `page.css`.
    """
    from jinja2 import Environment, PackageLoader

    loader = PackageLoader("pipelines", ".")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(duration=duration, size=size, percent=percent, figure=figure)
    return environment.get_template(name)


def duration(seconds: float) -> str:
    """`0.42 s`, `41.5 s`, `12 min 04 s`, `3 h 07 min`."""
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours:,} h {minutes_left:02} min" if hours else f"{minutes} min {rest:02} s"


def size(count: float) -> str:
    """Bytes as `312 B`, `4.1 MiB`, `1.2 TiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1023.95:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} TiB"


def percent(share: float) -> str:
    """`37%`, `2.4%`, `<0.1%`."""
    if 0 < share < 0.0005:
        return "<0.1%"
    return f"{share:.1%}" if share < 0.0995 else f"{share:.0%}"


def figure(value: float | None) -> str:
    """Three significant figures, or a dash."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.3g}"
