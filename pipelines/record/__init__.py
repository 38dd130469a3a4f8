"""The record of a run: what a batch job did, with what, and where the time went, as JSON and as a page, in the store.

    with recording(store, Draft("preprocess", config)) as draft:
        with draft.start_up():
            ...                                   # listing, plan, start of Ray
        draft.resources = ray_resources()
        with Stages(...) as stages:
            draft.follow(stages, gpus={"latents": 1})
            ...
        draft.counts, draft.failures = summary.counts, summary.failures

Whatever ends the block, what the draft holds by then is written.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from pydantic import ValidationError

from equivdm.errors import EquivdmError
from pipelines.config import Job
from pipelines.record.model import Code, Resources, RunRecord, StageRecord, Status, by_class, by_rule
from pipelines.record.page import render_page
from pipelines.store import STORE_FAULTS, Store
from pipelines.tally import Sums

__all__ = [
    "Draft",
    "RunRecord",
    "StageRecord",
    "code",
    "new_run",
    "ray_resources",
    "read_records",
    "record_page",
    "recording",
    "write_record",
]

FOLDER = "runs"
"""Where records lie, below the store's root."""


class HasSums(Protocol):
    """What knows the sums of each stage, such as `pipelines.bars.Stages`."""

    @property
    def sums(self) -> Mapping[str, Sums]: ...


def new_run() -> str:
    """Return a name for this run of a job: its time and a random part."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid4().hex[:8]}"


@dataclass
class Draft:
    """What is known of a run so far; the job fills it in as it goes."""

    job: str
    config: Job
    run: str = field(default_factory=new_run)
    """Name of the run; its rows carry it."""
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    resources: Resources = field(default_factory=Resources)
    counts: Mapping[str, int] = field(default_factory=dict)
    """inputs, done, filtered, quarantined, pending, new."""
    rules: Iterable[str] = ()
    """The rule of each item that this run filtered."""
    failures: Iterable[tuple[str, str, str]] = ()
    """(path, class, message) of each item that failed in this run."""
    frames: int = 0
    """Video frames of the items that are new."""
    wrote: set[str] = field(default_factory=set)
    """Names of the tables to which this run has committed."""
    page: str = ""
    """Path or URL of the page, once it is written."""
    _start_up_s: float = 0.0
    _commit_s: float = 0.0
    _stages: list[Callable[[], Iterable[StageRecord]]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return (datetime.now(UTC) - self.started).total_seconds()

    @contextmanager
    def start_up(self) -> Iterator[None]:
        """Count the block's seconds as start-up."""
        started = time.monotonic()
        try:
            yield
        finally:
            self._start_up_s += time.monotonic() - started

    @contextmanager
    def commit(self) -> Iterator[None]:
        """Count the block's seconds as commits."""
        started = time.monotonic()
        try:
            yield
        finally:
            self._commit_s += time.monotonic() - started

    def follow(
        self, stages: HasSums, cpus: Mapping[str, float] | None = None, gpus: Mapping[str, float] | None = None
    ) -> None:
        """Record these stages too, with what `stages.sums` holds when the run ends.

        `cpus` and `gpus` say what one worker of a stage reserves; 1 and 0 where they do not name it.
        """
        have, devices = cpus or {}, gpus or {}
        self._stages.append(
            lambda: (
                StageRecord.of(name, sums, have.get(name, 1.0), devices.get(name, 0.0))
                for name, sums in stages.sums.items()
            )
        )

    def record(self, status: Status, message: str | None = None) -> RunRecord:
        """Return the record of what is known, ended now."""
        return RunRecord(
            job=self.job,
            run=self.run,
            status=status,
            message=message,
            started=self.started,
            ended=datetime.now(UTC),
            config=self.config.model_dump(mode="json"),
            code=code(),
            resources=self.resources,
            counts=dict(self.counts),
            filtered=by_rule(self.rules),
            failures=by_class(self.failures),
            stages=tuple(stage for stages in self._stages for stage in stages()),
            start_up_s=self._start_up_s,
            commit_s=self._commit_s,
            frames=self.frames,
            prices=self.config.ray.cost,
        )


@contextmanager
def recording(store: Store, draft: Draft) -> Iterator[Draft]:
    """Write the draft's record when the block ends, whatever ends it; an error or Ctrl-C then goes on."""
    try:
        yield draft
    except BaseException as fault:
        stopped = isinstance(fault, (KeyboardInterrupt, SystemExit))
        message = ": ".join([type(fault).__name__, *str(fault).strip().splitlines()[:1]])
        try:
            draft.page = write_record(store, draft.record("interrupted" if stopped else "failed", message))
        except STORE_FAULTS as second:  # it may be the very store that failed
            fault.add_note(f"the record of run {draft.run} could not be written: {second}")
        raise
    draft.page = write_record(store, draft.record("finished"))


def write_record(store: Store, record: RunRecord) -> str:
    """Write a record to the store as `runs/RUN.json` and `runs/RUN.html`, and return the page's path or URL."""
    texts = {"json": record.model_dump_json(indent=2), "html": render_page(record)}
    with tempfile.TemporaryDirectory(prefix="equivdm-") as folder:
        for suffix, text in texts.items():
            local = Path(folder, f"record.{suffix}")
            local.write_text(text, encoding="utf-8")
            store.put(str(local), FOLDER, f"{record.run}.{suffix}")
    return record_page(store, record)


def record_page(store: Store, record: RunRecord) -> str:
    """Return the path or URL of a record's page."""
    return f"{store.url}/{FOLDER}/{record.run}.html"


def read_records(store: Store, job: str) -> Iterator[RunRecord]:
    """Yield the records of one kind of job, the newest first; each is read when it is asked for.

    Raises EquivdmError for a file that is no record.
    """
    if not store.filesystem.isdir(store.path(FOLDER)):
        return
    listed = store.filesystem.ls(store.path(FOLDER), detail=False)
    for path in sorted(
        (path for path in listed if path.endswith(".json")), reverse=True
    ):  # their names begin with time
        try:
            record = RunRecord.model_validate_json(store.filesystem.cat_file(path))
        except ValidationError as error:
            raise EquivdmError(f"{path}: got a file that is no record of a run; wanted one: move it away") from error
        if record.job == job:
            yield record


def ray_resources() -> Resources:
    """Return what the Ray that is connected has: CPUs and GPUs of all its nodes."""
    import ray

    have, nodes = ray.cluster_resources(), [node for node in ray.nodes() if node["Alive"]]
    return Resources(cpus=have.get("CPU", 0.0), gpus=have.get("GPU", 0.0), nodes=len(nodes))


def code() -> Code:
    """Return the package's version, and git's commit where this file belongs to a checkout."""
    return Code(version=version("equivdm"), commit=_commit(Path(__file__)))


def _commit(file: Path) -> str | None:
    def git(*arguments: str) -> str:
        # No lock of the index: the person at the checkout may be at work in it.
        command = ["git", "-C", str(file.parent), *arguments]
        quiet = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
        return subprocess.run(command, capture_output=True, text=True, check=True, env=quiet).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", file.name)  # or some other checkout may just hold our virtual environment
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None
