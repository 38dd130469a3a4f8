"""Rules that leave windows out, each by one statistic of the window's frames or of its motion.

The statistics are stored with the stages, so that another threshold judges again without decoding again.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.settings import FiltersConfig


@dataclass(frozen=True)
class Rule:
    """A window is left out where its statistic passes the threshold."""

    name: str
    """What the `rule` column says."""
    statistic: str
    threshold: str
    """Field of `FiltersConfig`."""
    least: bool
    """Whether the threshold is the least that passes; else it is the most."""


RULES = (
    Rule("black", "black_frames", "max_black", least=False),
    Rule("flat", "contrast", "min_contrast", least=True),
    Rule("static", "frozen", "max_frozen", least=False),
    Rule("bars", "bar_rows", "max_bars", least=False),
    Rule("bars", "bar_columns", "max_bars", least=False),
    Rule("too_much_motion", "fast_speed_share", "max_speed", least=False),
    Rule("low_flow_confidence", "disagreement", "max_disagreement", least=False),
)
"""In the order in which they are asked."""


@dataclass(frozen=True)
class Verdict:
    """Why a window is left out."""

    rule: str
    message: str


def judge(statistics: Mapping[str, float | None], filters: FiltersConfig) -> Verdict | None:
    """Return the first rule that leaves a window with these statistics out, None where it stays.

    Rules whose statistic is not there are not asked: the stage that measures it comes later.
    """
    for rule in RULES:
        limit, value = getattr(filters, rule.threshold), statistics.get(rule.statistic)
        if limit is None or value is None:
            continue
        if value < limit if rule.least else value > limit:
            wanted = "at least" if rule.least else "at most"
            return Verdict(rule.name, f"{rule.statistic} is {value:.4g}, wanted {wanted} {limit:g}")
    return None
