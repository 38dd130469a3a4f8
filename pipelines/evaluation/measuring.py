"""On workers: from a pair and what is wanted of it to values and features, each settled by itself."""

import time
from collections.abc import Iterator
from math import isfinite

from equivdm.metrics import FEATURES, METRICS
from pipelines.config import EvaluateJob
from pipelines.evaluation.subject import Subject, device, subject_of
from pipelines.evaluation.wanted import REFERENCE
from pipelines.schemas import to_tensor
from pipelines.steps import ITEM_FAULTS, NOBODY, failure, receipt_of, settle
from pipelines.store import Store
from pipelines.tables import Row, Table
from pipelines.tally import SKIPPED, Reporter

STEPS = {False: "evaluate", True: "networks"}
"""The step that finds a value, by whether it needs a network."""


def measure_pixels(row: Row, job: EvaluateJob, store: Store, table: Table, reporter: Reporter = NOBODY) -> Row:
    """Find what needs no network, and return the row with `ended`, a row for each value."""
    return _measured(row, job, store, table, reporter, networks=False)


def measure_by_networks(row: Row, job: EvaluateJob, store: Store, table: Table, reporter: Reporter = NOBODY) -> Row:
    """Find what needs a network, likewise."""
    return _measured(row, job, store, table, reporter, networks=True)


def settle_each(row: Row, table: Table, reporter: Reporter = NOBODY) -> Iterator[Row]:
    """Yield what the driver commits: each value that was wanted, or a video that cannot be measured."""
    for ended in row.get("ended") or [{}]:
        yield settle({**row, **ended}, table)
    reporter.flush()


def _measured(row: Row, job: EvaluateJob, store: Store, table: Table, reporter: Reporter, networks: bool) -> Row:
    ended: list[Row] = list(row.get("ended") or [])
    if row.get("outcome"):
        reporter.report(STEPS[networks], SKIPPED)
    for each in row.get("wanted") or []:
        if each["networks"] == networks:
            subject, started = subject_of(row["pair"], row["attempt"], job, store), time.perf_counter()
            with reporter.stage(STEPS[networks]) as item:
                try:
                    found = _found(each, subject, job, row["run"], table)
                except ITEM_FAULTS as fault:
                    found, item.outcome = failure(fault, each["attempt"], row["max_attempts"]), "failed"
            ended.append({**each, **found, "seconds": time.perf_counter() - started})
        else:
            reporter.report(STEPS[networks], SKIPPED)  # the bars of both steps count all values
    return {**row, "ended": ended}


def _found(wanted: Row, subject: Subject, job: EvaluateJob, run: str, table: Table) -> Row:
    name = wanted["metric"]
    if wanted["of"]:
        frames = subject.reference if wanted["of"] == REFERENCE else subject.frames
        features = FEATURES[name](frames, job.weights, device())
        return {"parts": [receipt_of(table.beside("features"), wanted["key"], run, features=to_tensor(features))]}
    value = METRICS[name].function(subject.case(name))
    if not isfinite(value):
        raise ArithmeticError(f"{name}: got {value}, which is no number to average")
    return {"value": float(value)}
