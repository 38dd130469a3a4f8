"""The job server of a Ray cluster: submit, list, follow, stop. Ray is loaded, nothing else of the pipeline."""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from equivdm.errors import EquivdmError, UsageError
from jobs.submission import Submission, packed

ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
"""States that a job does not leave."""

PATIENCE_S = 60
"""Seconds that a cluster has to get ready: one that has just been started takes no jobs at first."""

_YET = "try again later"

TRIES, PAUSE_S = 5, 2.0
"""Times that the log is asked for when the connection breaks and nothing new comes, and seconds between them."""

_TALKATIVE = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)


class ServerUnwell(EquivdmError):
    """The job server does not answer, or refuses. What runs there goes on."""


@dataclass(frozen=True)
class Submitted:
    """A job on the server."""

    id: str
    status: str
    entrypoint: str
    started: datetime | None
    ended: datetime | None
    message: str
    exit_code: int | None

    @property
    def running(self) -> bool:
        """Whether it runs, or is about to."""
        return self.status not in ENDED


class Server:
    """A cluster's job server. Its token is taken from where Ray looks: RAY_AUTH_TOKEN, or `~/.ray/auth_token`."""

    def __init__(self, address: str | None) -> None:
        """Connect. Raises UsageError where no address is known, ServerUnwell where none answers there."""
        self.address = address or os.environ.get("RAY_API_SERVER_ADDRESS") or ""
        if not self.address.startswith(("http://", "https://")):
            raise UsageError(
                f"--address: got {self.address or 'none'}, wanted the job server's: for example http://HEAD:8265"
            )
        # Ray would take the address of these, whatever it is given.
        for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
            os.environ.pop(name, None)
        from ray.job_submission import JobSubmissionClient

        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
        with self._answering():
            self._client = JobSubmissionClient(self.address)

    def jobs(self) -> list[Submitted]:
        """Return all submitted jobs, the newest first."""
        with self._answering():
            found = [_submitted(each) for each in self._client.list_jobs() if each.submission_id]
        return sorted(found, key=lambda job: job.started.timestamp() if job.started else 0.0, reverse=True)

    def job(self, submission: str) -> Submitted:
        """Return a job. Raises UsageError where there is none of that id."""
        found = next((job for job in self.jobs() if job.id == submission), None)
        if found is None:
            raise UsageError(f"got no job {submission!r} at {self.address}, wanted one of `equivdm jobs`")
        return found

    def submit(self, submission: Submission) -> tuple[str, bool]:
        """Submit a job, unless it runs already; return its id, and whether it is new.

        The same job has the same id but for the number of the attempt, so that two that submit it at once cannot both
        start it: the server takes an id once.
        """
        before = attempts(submission.name, [job.id for job in self.jobs()])
        if before and self.job(last := f"{submission.name}-{before[-1]}").running:
            return last, False
        attempt = f"{submission.name}-{before[-1] + 1 if before else 1}"
        with packed(submission) as code:
            until = time.monotonic() + PATIENCE_S
            while True:
                try:
                    self._start(submission, attempt, submission.runtime_env(code))
                except ServerUnwell as error:
                    if attempt in [job.id for job in self.jobs()]:
                        return attempt, False  # another one was faster
                    if _YET not in str(error) or time.monotonic() > until:
                        raise
                    time.sleep(1)
                else:
                    return attempt, True

    def _start(self, submission: Submission, attempt: str, runtime_env: dict[str, Any]) -> None:
        with self._answering():
            self._client.submit_job(
                entrypoint=submission.entrypoint,
                submission_id=attempt,
                runtime_env=runtime_env,
                metadata={"equivdm": submission.verb},
            )

    def follow(self, submission: str, show: Callable[[str], Any]) -> Submitted:
        """Give the log to `show`, piece by piece, until the job ends; return what became of it."""
        seen = 0

        async def tail() -> None:
            nonlocal seen
            skip = seen
            async for part in self._client.tail_job_logs(submission):
                new, skip = part[skip:], max(0, skip - len(part))
                if new:
                    show(new)
                    seen += len(new)

        left = TRIES
        while True:
            before = seen
            try:
                with self._answering():
                    asyncio.run(tail())
                found = self.job(submission)
                if not found.running:
                    return found
            except ServerUnwell:
                if left == 1 and seen == before:
                    raise
            left = TRIES if seen > before else left - 1
            if not left:
                raise ServerUnwell(f"the log of {submission} broke off: `equivdm logs -f {submission}` shows it again")
            time.sleep(PAUSE_S)

    def log(self, submission: str) -> str:
        """Return what a job has written so far."""
        self.job(submission)
        with self._answering():
            return self._client.get_job_logs(submission)

    def stop(self, submission: str) -> bool:
        """Tell a job to end, which saves what it has; False where it has ended already."""
        if not self.job(submission).running:
            return False
        with self._answering():
            return self._client.stop_job(submission)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        from aiohttp import ClientError
        from ray.exceptions import AuthenticationError

        try:
            yield
        except AuthenticationError as error:
            raise UsageError(
                f"{self.address}: the token was refused: set RAY_AUTH_MODE=token and put that of the cluster into "
                "RAY_AUTH_TOKEN or ~/.ray/auth_token"
            ) from error
        except (OSError, ClientError, RuntimeError) as error:
            last = (str(error).strip().splitlines() or [type(error).__name__])[-1].rstrip(".")
            raise ServerUnwell(f"{self.address}: {last}: see whether the job server runs, and try again") from error


def attempts(name: str, ids: Sequence[str]) -> list[int]:
    """Return the numbers of the attempts of a job among ids, rising."""
    parts = (each.rpartition("-") for each in ids)
    return sorted(int(number) for start, _, number in parts if start == name and number.isdecimal())


def to_stdout(text: str) -> None:
    """Write a piece of a log at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def _submitted(found: Any) -> Submitted:
    return Submitted(
        id=found.submission_id,
        status=str(found.status.value),
        entrypoint=found.entrypoint,
        started=_time(found.start_time),
        ended=_time(found.end_time),
        message=found.message or "",
        exit_code=found.driver_exit_code,
    )


def _time(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None
