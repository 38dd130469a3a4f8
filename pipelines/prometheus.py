"""A batch job's figures for Prometheus, through the metrics endpoint of the Ray node that each process runs on.

Ray puts `ray_` before each name; it exports them every ten seconds unless `metrics_report_interval_ms` says otherwise.
"""

import functools
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ray.util.metrics import Counter, Gauge, Histogram

SECONDS = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0]
"""Upper ends of the histogram's buckets."""


class _Metrics(NamedTuple):
    items: "Counter"
    seconds: "Counter"
    histogram: "Histogram"
    bytes: "Counter"


@functools.cache
def _metrics() -> _Metrics:
    from ray.util.metrics import Counter, Histogram

    of = ("job", "stage")
    return _Metrics(
        Counter("equivdm_items_total", "Items through a stage, by outcome.", (*of, "outcome")),
        Counter("equivdm_stage_seconds_total", "Seconds that items took in a stage.", of),
        Histogram("equivdm_stage_seconds", "Seconds that an item took in a stage.", SECONDS, of),
        Counter("equivdm_bytes_total", "Bytes into and out of a stage.", (*of, "direction")),
    )


def count_item(job: str, stage: str, outcome: str, seconds: float, sizes: dict[str, int]) -> None:
    """Count one item of a stage, in a process that is connected to Ray.

    `sizes` are its bytes by direction, `in` and `out`; `seconds` are 0 for an item that was passed by.
    """
    metrics, of = _metrics(), {"job": job, "stage": stage}
    metrics.items.inc(1, of | {"outcome": outcome})
    if seconds > 0:
        metrics.seconds.inc(seconds, of)
        metrics.histogram.observe(seconds, of)
    for direction, size in sizes.items():
        if size > 0:
            metrics.bytes.inc(size, of | {"direction": direction})


def pending_gauge(job: str) -> "Gauge":
    """Return the gauge of the items that a job has yet to settle, made anew for the Ray that is connected."""
    from ray.util.metrics import Gauge

    gauge = Gauge("equivdm_items_pending", "Items that the job has yet to settle.", ("job",))
    gauge.set_default_tags({"job": job})
    return gauge
