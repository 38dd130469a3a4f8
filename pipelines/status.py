"""How a job stands: what its items came to, why some did not, what its store holds, and its last runs."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

import pyarrow as pa

from pipelines.arrow import compute
from pipelines.batch import count
from pipelines.claim import ClaimFiles, training
from pipelines.config import AnyJob
from pipelines.inputs import endings, job_inputs
from pipelines.progress import progress
from pipelines.record import RunRecord, read_records, record_page
from pipelines.record.model import EXAMPLES, Example
from pipelines.schemas import SCHEMAS
from pipelines.store import Store, open_store
from pipelines.tables import Table
from pipelines.validated import read_validations, step_folder

RUNS = 5
"""Runs that are told of, the newest."""

_Kind = tuple[str, str]
"""Outcome and class of a failure."""

_TOLD = ("outcome", "rule", "error", "path", "message")


@dataclass(frozen=True)
class Failures:
    """Items that stand failed (the next run tries them again) or quarantined, with one exception."""

    outcome: str
    error: str
    count: int
    examples: tuple[Example, ...]
    """The first few."""


@dataclass(frozen=True)
class TableSize:
    """A table of the store, over all jobs that write to it."""

    name: str
    files: int
    bytes: int


@dataclass(frozen=True)
class LastRun:
    """A run of this kind of job, as its record tells it."""

    run: str
    started: datetime
    status: str
    new: int | None
    """Items that it settled; None where it was stopped before they were added up."""
    items_per_s: float | None
    page: str


@dataclass(frozen=True)
class LastValidation:
    """The latest validation of a model that is in training, or finished."""

    step: int
    """Steps done."""
    figures: Mapping[str, float]
    """Means over its clips."""
    videos: int
    folder: str
    """Path or URL of the videos."""


@dataclass(frozen=True)
class JobStatus:
    """How a job stands."""

    job: str
    counts: Mapping[str, int]
    """inputs, done, filtered, quarantined, pending."""
    filtered: Mapping[str, int]
    """Items by the rule that left them out, the most frequent first."""
    failures: tuple[Failures, ...]
    """By outcome and class, the most frequent first."""
    tables: tuple[TableSize, ...]
    """Those that hold something."""
    runs: tuple[LastRun, ...]
    """The newest first."""
    validation: LastValidation | None = None
    """Of a training or distillation that validates."""
    claim: str | None = None
    """Who trains or distils it, or did when it was killed."""

    @property
    def ok(self) -> bool:
        """Whether nothing is pending or quarantined."""
        return not (self.counts["pending"] or self.counts["quarantined"])


def job_status(config: AnyJob) -> JobStatus:
    """Say how a job stands, from the tables and records alone. Raises UsageError where it cannot work as given."""
    store = open_store(config.store)
    table, items = job_inputs(config, store)
    counts = dict(count(items.keys, table.states()))
    rules, failures = _endings(table, items.keys)
    runs = tuple(_last_run(store, record) for record in islice(read_records(store, config.job), RUNS))
    told = _training(store, items.keys[0].as_py()) if table.name == "models" else (None, None)
    return JobStatus(config.job, counts, rules, failures, _tables(store), runs, *told)


def _endings(table: Table, keys: pa.Array) -> tuple[dict[str, int], tuple[Failures, ...]]:
    """Count the rules and the failures of these items."""
    rules, numbers = Counter[str](), Counter[_Kind]()
    examples: dict[_Kind, list[Example]] = defaultdict(list)
    for part in endings(table, keys, _TOLD, {"filtered", "failed", "quarantined"}):
        left_out = compute.equal(part["outcome"], "filtered")
        rules.update(
            {one["values"]: one["counts"] for one in compute.value_counts(part.filter(left_out)["rule"]).to_pylist()}
        )
        failed = part.filter(compute.invert(left_out))
        for one in failed.group_by(["outcome", "error"]).aggregate([([], "count_all")]).to_pylist():
            kind = one["outcome"], one["error"]
            numbers[kind] += one["count_all"]
            examples[kind] += _examples(failed, kind, EXAMPLES - len(examples[kind]))
    classes = [Failures(*kind, number, tuple(examples[kind])) for kind, number in numbers.items()]
    return dict(rules.most_common()), tuple(sorted(classes, key=lambda own: (-own.count, own.outcome, own.error)))


def _examples(failed: pa.Table, kind: _Kind, most: int) -> list[Example]:
    mine = compute.and_(compute.equal(failed["outcome"], kind[0]), compute.equal(failed["error"], kind[1]))
    rows = failed.filter(mine).slice(0, most).select(["path", "message"]).to_pylist()
    return [Example(path=row["path"], message=row["message"] or "") for row in rows]


def _tables(store: Store) -> tuple[TableSize, ...]:
    found: list[TableSize] = []
    with progress("status: tables", len(SCHEMAS)) as advance:
        for name in SCHEMAS:
            log = store.table(name).log()
            if len(log):
                found.append(TableSize(name, len(log), compute.sum(log["bytes"]).as_py()))
            advance(1)
    return tuple(found)


def _last_run(store: Store, record: RunRecord) -> LastRun:
    return LastRun(
        run=record.run,
        started=record.started,
        status=record.status,
        new=record.counts.get("new"),
        items_per_s=record.items_per_s,
        page=record_page(store, record),
    )


def _training(store: Store, key: str) -> tuple[LastValidation | None, str | None]:
    claims = ClaimFiles(store, training(key))
    latest = claims.latest()
    holder = claims.read(latest) if latest else None
    return _last_validation(store, key), holder and f"{holder}{', which is gone' if holder.is_gone else ''}"


def _last_validation(store: Store, key: str) -> LastValidation | None:
    records = read_validations(store, key)
    if not records:
        return None
    last = records[-1]
    return LastValidation(last.step, last.figures, len(last.clips), f"{store.url}/{step_folder(key, last.step)}")
