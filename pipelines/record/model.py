"""What a run of a batch job is remembered by. Figures that follow from others are computed, so that they add up."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field

from pipelines.settings import CostConfig
from pipelines.tally import SKIPPED, Sums

EXAMPLES = 5
"""Failures of a class that are shown; the tables in the store have them all."""

Status = Literal["finished", "interrupted", "failed"]
PartKind = Literal["start-up", "stage", "commits", "idle"]


class _Record(BaseModel):
    # Computed figures stand in the JSON too: reading it leaves them, and what a newer version adds, aside.
    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class Code(_Record):
    """The code that ran."""

    version: str
    """Of the package."""
    commit: str | None = None
    """Of git where it ran from a checkout, with `-dirty` where files differed from it."""


class Resources(_Record):
    """What Ray had while the job ran."""

    cpus: float = 0.0
    gpus: float = 0.0
    nodes: int = 0


class Example(_Record):
    """An item that failed."""

    path: str
    message: str


class FailureClass(_Record):
    """Failures with one exception."""

    error: str
    """Name of the exception."""
    count: int
    examples: tuple[Example, ...]
    """The first few."""


class StageRecord(_Record):
    """One stage, added up over its items and workers."""

    name: str
    outcomes: dict[str, int] = {}
    """Items by outcome, `skipped` among them: they failed, or were filtered, in a stage before."""
    seconds: float = 0.0
    """Time that workers computed, added up over workers."""
    bytes_in: int = 0
    bytes_out: int = 0
    cpus: float = 1.0
    """CPUs that one worker reserves."""
    gpus: float = 0.0
    """GPUs that one worker reserves."""

    @computed_field
    @property
    def items(self) -> int:
        """Items that the stage worked on."""
        return sum(count for outcome, count in self.outcomes.items() if outcome != SKIPPED)

    @computed_field
    @property
    def items_per_s(self) -> float | None:
        """Items a second of one worker; None before the first."""
        return self.items / self.seconds if self.seconds > 0 else None

    @classmethod
    def of(cls, name: str, sums: Sums, cpus: float = 1.0, gpus: float = 0.0) -> "StageRecord":
        """Return the record of a stage whose workers reserve so much each."""
        return cls(
            name=name,
            outcomes=dict(sums.outcomes),
            seconds=sums.seconds,
            bytes_in=sums.bytes_in,
            bytes_out=sums.bytes_out,
            cpus=cpus,
            gpus=gpus,
        )


class Part(_Record):
    """A part of the CPU-seconds that a run had."""

    name: str
    kind: PartKind
    cpu_seconds: float
    share: float
    """Of all parts, in [0, 1]."""


class RunRecord(_Record):
    """One run of a batch job."""

    job: str
    run: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Name of the run, as its rows carry it."""
    status: Status
    message: str | None = None
    """What stopped it."""
    started: datetime
    """UTC, likewise `ended`."""
    ended: datetime
    config: dict[str, Any]
    """The resolved job."""
    code: Code
    resources: Resources = Resources()
    counts: dict[str, int] = {}
    """inputs, done, filtered, quarantined, pending (over all runs), and new (settled by this one)."""
    filtered: dict[str, int] = {}
    """Items that this run filtered, by rule."""
    failures: tuple[FailureClass, ...] = ()
    """Items that failed in this run, the most frequent class first."""
    stages: tuple[StageRecord, ...] = ()
    """In the order in which items pass them."""
    start_up_s: float = 0.0
    """Seconds until the pipeline began: listing, plan, start of Ray."""
    commit_s: float = 0.0
    """Seconds in which the driver committed receipts; workers go on meanwhile."""
    frames: int = 0
    """Video frames of the items that are new."""
    prices: CostConfig | None = None

    @computed_field
    @property
    def wall_s(self) -> float:
        """Seconds from start to end."""
        return (self.ended - self.started).total_seconds()

    @computed_field
    @property
    def adds_up(self) -> bool | None:
        """Whether inputs == done + filtered + quarantined + pending; None where they were never known."""
        if "inputs" not in self.counts:
            return None
        parts = ("done", "filtered", "quarantined", "pending")
        return self.counts["inputs"] == sum(self.counts.get(name, 0) for name in parts)

    @computed_field
    @property
    def time(self) -> tuple[Part, ...]:
        """Where the CPU-seconds went: CPUs of Ray times the wall seconds, or what was used where that is more.

        All CPUs wait for the start; a stage uses what its workers reserve while they compute; a commit keeps one busy;
        the rest is idle: queues, transfers, workers that start, and CPUs that nothing asked for.
        """
        used: list[tuple[str, PartKind, float]] = [
            ("start-up", "start-up", self.start_up_s * self.resources.cpus),
            *((stage.name, "stage", stage.seconds * stage.cpus) for stage in self.stages),
            ("commits", "commits", self.commit_s),
        ]
        idle = max(self.resources.cpus * self.wall_s - sum(seconds for *_, seconds in used), 0.0)
        used.append(("idle", "idle", idle))
        parts = [part for part in used if part[-1] > 0]
        whole = sum(seconds for *_, seconds in parts)
        return tuple(Part(name=name, kind=kind, cpu_seconds=s, share=s / whole) for name, kind, s in parts)

    @computed_field
    @property
    def busy(self) -> float | None:
        """Share of the CPU-seconds that stages used, in [0, 1]; None where nothing is known of it."""
        return sum(part.share for part in self.time if part.kind == "stage") if self.time else None

    @computed_field
    @property
    def gpu_busy(self) -> float | None:
        """Share of the GPU-seconds that stages used; None without a GPU."""
        capacity = self.resources.gpus * self.wall_s
        return sum(stage.seconds * stage.gpus for stage in self.stages) / capacity if capacity > 0 else None

    @computed_field
    @property
    def items_per_s(self) -> float | None:
        """New items a second of the run."""
        return self.counts["new"] / self.wall_s if "new" in self.counts and self.wall_s > 0 else None

    @computed_field
    @property
    def frames_per_s(self) -> float | None:
        """Frames of new items a second of the run."""
        return self.frames / self.wall_s if self.frames and self.wall_s > 0 else None

    @computed_field
    @property
    def cost(self) -> float | None:
        """What the machines cost from start to end, in `prices.currency`; None without prices."""
        if self.prices is None:
            return None
        per_hour = self.resources.cpus * self.prices.cpu_hour + self.resources.gpus * self.prices.gpu_hour
        return per_hour * self.wall_s / 3600

    @computed_field
    @property
    def cost_per_1000(self) -> float | None:
        """Cost of 1,000 new items at this run's rate; None without prices or new items."""
        new = self.counts.get("new", 0)
        return 1000 * self.cost / new if self.cost is not None and new else None


def by_rule(rules: Iterable[str]) -> dict[str, int]:
    """Count rules such as `too_short: 3 frames, wanted 6` by what stands before the colon, the most frequent first."""
    return dict(Counter(rule.partition(":")[0].strip() for rule in rules).most_common())


def by_class(failures: Iterable[tuple[str, str, str]]) -> tuple[FailureClass, ...]:
    """Group failures (path, class, message) by class, the most frequent first, with a few examples each."""
    found: Mapping[str, list[Example]] = defaultdict(list)
    for path, error, message in failures:
        found[error].append(Example(path=path, message=message))
    classes = (FailureClass(error=e, count=len(all_), examples=tuple(all_[:EXAMPLES])) for e, all_ in found.items())
    return tuple(sorted(classes, key=lambda each: (-each.count, each.error)))
