"""`equivdm submit`, `jobs`, `logs`, `stop`: what a person does with jobs on a cluster, from a machine without torch."""

import sys

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from jobs.console import console, say
from jobs.server import Server, Submitted, to_stdout
from jobs.submission import Submission


def show(submission: Submission, address: str | None) -> int:
    """Print what would be submitted."""
    say(f"# job {submission.name}-N, N the number of the attempt, at {address or 'RAY_API_SERVER_ADDRESS'}")
    say(f"# {submission.entrypoint}")
    say(f"# code: {submission.image or 'of this machine, uploaded'}")
    for name, value in submission.environment.items():
        say(f"# {name}={value}")
    say(submission.spec.rstrip())
    return 0


def submit(submission: Submission, address: str | None, detach: bool) -> int:
    """Submit a job, and follow its log unless detached."""
    server = Server(address)
    job, new = server.submit(submission)
    _aside(f"{job}: {'submitted' if new else 'runs already'} at {server.address}")
    return 0 if detach else _follow(server, job)


def list_jobs(address: str | None) -> int:
    """Print the submitted jobs, the newest first."""
    table = Table(box=SIMPLE, show_edge=False)
    for name in ("job", "status", "started (UTC)", "minutes", "command"):
        table.add_column(name, no_wrap=name != "command", justify="right" if name == "minutes" else "left")
    for job in Server(address).jobs():
        started = f"{job.started:%Y-%m-%d %H:%M:%S}" if job.started else ""
        minutes = f"{(job.ended - job.started).total_seconds() / 60:.1f}" if job.ended and job.started else ""
        command = Text(job.entrypoint, no_wrap=True, overflow="ellipsis")  # what gives way where a terminal is narrow
        table.add_row(job.id, job.status.lower(), started, minutes, command)
    console().print(table)
    return 0


def logs(job: str, address: str | None, follow: bool) -> int:
    """Print the log of a job; with `follow` until it ends, and then its exit code is that of the job."""
    server = Server(address)
    if follow:
        return _follow(server, server.job(job).id)
    to_stdout(server.log(job))
    return 0


def stop(job: str, address: str | None) -> int:
    """Tell a job to end."""
    told = Server(address).stop(job)
    say(f"{job}: {'told to end; what it has committed is kept' if told else 'has ended already'}")
    return 0


def _follow(server: Server, job: str) -> int:
    try:
        ended = server.follow(job, to_stdout)
    except KeyboardInterrupt:
        _aside(f"{job} goes on: `equivdm logs -f {job}` follows it again, `equivdm stop {job}` ends it")
        return 130
    _aside(f"{job}: {ended.status.lower()}{_why(ended)}")
    return _code(ended)


def _code(job: Submitted) -> int:
    if job.status == "SUCCEEDED":
        return 0
    return 1 if job.exit_code is None else job.exit_code or 1


def _why(job: Submitted) -> str:
    if job.status != "FAILED":
        return ""
    said = job.message.strip().splitlines()
    return f", exit code {job.exit_code}" if job.exit_code else f": {said[-1]}" if said else ""


def _aside(text: str) -> None:
    sys.stderr.write(f"{text}\n")
