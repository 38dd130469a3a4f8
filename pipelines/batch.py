"""What the batch jobs share: pending items, steps whose failures are rows, and the commit of receipts.

There is no framework here. A job builds a Ray Data pipeline of its own; `run_items` stands at its two ends.
"""

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from equivdm.errors import ItemError
from pipelines.allocator import give_back
from pipelines.arrow import compute
from pipelines.bars import Stages
from pipelines.delta_log import Receipt
from pipelines.intake import Intake, intakes
from pipelines.progress import Advance
from pipelines.ray_session import ray_session
from pipelines.record import Draft, ray_resources
from pipelines.room import check_room
from pipelines.settings import Resources
from pipelines.states import States, is_settled
from pipelines.steps import failure, table_row
from pipelines.tables import Row, Table
from pipelines.tally import Reporter, start_tally

if TYPE_CHECKING:
    import ray.data

    from equivdm.metrics.bootstrap import Interval
    from pipelines.evaluation.comparison import Difference

WAVE = 20_000
"""Items that the driver looks up and prepares at once."""

_REST = 9.0
"""Seconds between two commits, for each second that the last one took."""


@dataclass(frozen=True)
class RunSummary:
    """What a batch job did, added up."""

    job: str
    seconds: float
    counts: Mapping[str, int]
    """inputs, done, filtered, quarantined, pending, and new (settled by this run)."""
    failures: Sequence[tuple[str, str, str]] = ()
    """(path, class, message) of this run's failures."""
    problems: Sequence[str] = ()
    """What is wrong with committed objects, as the end of a run (names and sizes) or an audit (every byte) found it."""
    record: str = ""
    """Path or URL of the page that tells the run."""
    means: Mapping[str, Mapping[str, "Interval"]] = field(default_factory=dict)
    """means[set of videos][metric], of an evaluation: the mean over clips with its confidence interval."""
    sets: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """sets[set of videos][metric], likewise: metrics of whole sets."""
    differences: Mapping[str, Mapping[str, "Difference"]] = field(default_factory=dict)
    """differences[set of videos][metric], likewise: from the baseline, clip by clip."""
    baseline: str = ""
    """The set of videos that the others are compared with."""
    remarks: Sequence[str] = ()
    """What must be known beside these figures."""
    report: str = ""
    """Path or URL of an evaluation's report."""

    @property
    def ok(self) -> bool:
        """Whether nothing is pending, quarantined or damaged."""
        return not (self.counts["pending"] or self.counts["quarantined"] or self.problems)


@dataclass(frozen=True)
class Items:
    """What a job works on. There may be millions, so that only their keys are held at once."""

    keys: pa.Array
    """Of all items; copies of one item share a key."""
    batches: Callable[[], Iterable[pa.Table]]
    """Gives the items with all their columns, `key` among them, part by part."""


def as_items(rows: Sequence[Row]) -> Items:
    """Return items that were made one by one; each has a `key`."""
    keys = pa.array([row["key"] for row in rows], pa.string())
    return Items(keys, lambda: [pa.Table.from_pylist(list(rows))] if rows else [])


@dataclass(frozen=True)
class Work:
    """How the items of a job are worked on."""

    table: Table
    """Where each item ends as a row."""
    pipeline: Callable[["ray.data.Dataset", Reporter], "ray.data.Dataset"]
    """Appends the job's steps to the items of a wave; the last step settles."""
    steps: Mapping[str, Resources]
    """What each step takes, by name, in their order."""
    prepare: Callable[[Sequence[Row]], Sequence[Row]] = list
    """Is given the rows of a wave just before they enter the pipeline."""


def run_items(draft: Draft, label: str, items: Items, work: Work, reporter: Reporter | None = None) -> RunSummary:
    """Bring a table up to date with the items: those that are not settled go through the pipeline.

    With nothing to do no Ray is started. `draft` is told all that is known, as it comes to be known. A `reporter` of a
    part of the run before this one, which has looked whether Ray has room, spares a second tally and look.
    """
    ended = Ended(draft)
    total = count(items.keys, work.table.states())["pending"]
    if total:
        with draft.start_up():
            session = ExitStack()
            session.enter_context(ray_session(draft.config.ray))
            if reporter is None:
                check_room(work.steps, draft.config.ray)
            draft.resources = ray_resources()
            reporter = reporter.anew() if reporter else start_tally(draft.job)
        with session, Stages(reporter, label, total, dict.fromkeys(work.steps, total)) as stages:
            draft.follow(
                stages,
                cpus={name: step.cpus for name, step in work.steps.items()},
                gpus={name: step.gpus for name, step in work.steps.items()},
            )
            rows = chain.from_iterable(map(work.prepare, waves(items, work.table, draft.run)))
            for intake in intakes(rows, draft.resources.cpus + draft.resources.gpus):
                execute(work.pipeline(intake.dataset(), reporter), intake, work.table, draft, stages, ended.add)
                ended.add(record_crashes(intake.lost, work.table))
    return summarise(draft, items, work.table, ended)


class Ended:
    """How the items of this run end, added up: there may be millions. The draft is told as they come."""

    def __init__(self, draft: Draft) -> None:
        """Begin to tell a draft; what it was told of another part of the run is replaced."""
        self._draft = draft
        self.failures: list[tuple[str, str, str]] = []
        self.new = 0
        self._rules: list[str] = []
        draft.rules, draft.failures, draft.frames = self._rules, self.failures, 0

    def add(self, rows: Sequence[Row]) -> None:
        """Take rows that were added to the table; all those of a key at once."""
        for row in {row["key"]: row for row in rows}.values():
            if row["outcome"] in ("failed", "quarantined"):
                self.failures.append((row["path"], row["error"] or "", row["message"] or ""))
                continue
            self.new += 1
            if row["outcome"] == "filtered":
                self._rules.append(sys.intern(row["rule"]))
            else:
                self._draft.frames += row.get("frames") or 0


def waves(items: Items, table: Table, run: str) -> Iterator[list[Row]]:
    """Yield what is pending in parts that a driver can hold as objects, and Ray as blocks of one item each."""
    for batch in items.batches():
        work = pending(batch, table.states(), run)
        for start in range(0, len(work), WAVE):
            yield work.slice(start, WAVE).to_pylist()


def pending(items: pa.Table, states: States, run: str) -> pa.Table:
    """Return the items that are not settled, once a key, each with its `attempt` and `run`."""
    known = states.lookup(items["key"])
    open_ = compute.invert(is_settled(known["outcome"]))
    attempts = compute.add(compute.fill_null(known["attempt"], 0), 1)
    work = items.append_column("attempt", attempts.cast(pa.int32())).filter(open_)
    work = _once_a_key(work)
    return work.append_column("run", pa.repeat(run, len(work)))


def _once_a_key(items: pa.Table) -> pa.Table:
    """Return the first item of each key: copies of one video make one clip."""
    keys = items["key"].combine_chunks()
    if compute.count_distinct(keys).as_py() == len(keys):
        return items
    codes = compute.dictionary_encode(keys).indices.to_numpy()
    return items.take(pa.array(np.sort(np.unique(codes, return_index=True)[1])))


def count(keys: pa.Array, states: States) -> Counter[str]:
    """Add up a job: inputs == done + filtered + quarantined + pending, over distinct keys."""
    distinct = compute.unique(keys)
    keys = keys if len(keys) == len(distinct) else distinct
    del distinct  # of ten million keys each copy is most of a gigabyte
    found = states.lookup(keys)["outcome"]
    ended = compute.value_counts(found.filter(is_settled(found))).to_pylist()
    outcomes = Counter({pair["values"]: pair["counts"] for pair in ended})
    counts = Counter({"inputs": len(keys), "done": 0, "filtered": 0, "quarantined": 0, **outcomes})
    counts["pending"] = len(keys) - outcomes.total()
    return counts


def execute(
    dataset: "ray.data.Dataset",
    intake: Intake,
    table: Table,
    draft: Draft,
    advance: Advance,
    told: Callable[[Sequence[Row]], object] = list,
) -> None:
    """Run the pipeline on an intake's items, as `commit_stream` does. Who calls keeps no name of the dataset.

    Ray Data has 3 KB on each item of an execution, in objects that name each other: they go before the next one begins.
    """
    with intake:
        commit_stream(dataset, table, draft, advance, intake.back, told)
    del dataset
    give_back()


def commit_stream(
    dataset: "ray.data.Dataset",
    table: Table,
    draft: Draft,
    advance: Advance,
    back: Callable[[str], object],
    told: Callable[[Sequence[Row]], object] = list,
) -> None:
    """Run the pipeline and commit what it settles every few seconds.

    `back` gets the key of each row that arrives; `told` the rows that were added to `table`, of a commit at a time.

    Whatever stops it (an error, Ctrl-C), what has arrived is committed first. The longer commits take, the seldomer
    they come: a tenth of the time at most goes into them.
    """
    waiting: list[Row] = []
    every_s = draft.config.store.commit_every_s
    due = time.monotonic() + every_s
    try:
        for settled in dataset.iter_rows():
            waiting.append(settled)
            for row in settled["rows"]:
                back(row["key"])
            advance(min(1, len(settled["rows"])))  # a part may come before the item that it is of
            if (started := time.monotonic()) >= due:
                told(_commit(waiting, table, draft))
                waiting, ended = [], time.monotonic()
                due = ended + max(every_s, _REST * (ended - started))
    finally:
        told(_commit(waiting, table, draft))


def _commit(settled: Sequence[Row], table: Table, draft: Draft) -> list[Row]:
    if settled:
        draft.wrote |= {table.name, *(receipt["table"] for item in settled for receipt in item["parts"])}
    with draft.commit():
        return commit(settled, table)


def commit(settled: Sequence[Row], table: Table) -> list[Row]:
    """Commit settled items: first the parts, side by side, then the rows of `table`, which name them."""
    parts = defaultdict(list)
    for item in settled:
        for receipt in item["parts"]:
            parts[receipt["table"]].append(Receipt(**receipt))
    with ThreadPoolExecutor(len(parts) or 1) as pool:
        list(pool.map(lambda name: table.beside(name).commit(parts[name]), parts))
    return table.append([row for item in settled for row in item["rows"]])


def record_crashes(lost: Sequence[Row], table: Table) -> list[Row]:
    """Append a failed row for every item that did not come back: its process died, or its block was lost.

    What another run has settled meanwhile stays as it is.
    """
    fault = ItemError("the item left no outcome: its worker process died, or the program failed on it; see Ray's logs")
    return table.append(
        [table_row({**item, **failure(fault, item["attempt"], item["max_attempts"])}, table) for item in lost]
    )


def summarise(draft: Draft, items: Items, table: Table, ended: Ended) -> RunSummary:
    """Add up a finished run. The tables that it wrote are looked over."""
    draft.counts = {**count(items.keys, table.states()), "new": ended.new}
    problems = misfits(table, draft.wrote | ({table.name} if ended.new or ended.failures else set()))
    return RunSummary(draft.job, draft.seconds, draft.counts, ended.failures, problems)


def misfits(table: Table, names: Collection[str]) -> list[str]:
    """Say what of these tables, which lie beside `table`, is missing or of another size than its log says."""
    found: list[str] = []
    for name in sorted(names):
        found += table.beside(name).misfits()
    return found
