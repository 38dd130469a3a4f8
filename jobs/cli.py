"""The command `equivdm`. Reading a command line and checking a spec load neither torch nor Ray.

Exit codes: 0 all well, 1 some items failed or a check found something, 2 the request cannot work as given,
130 interrupted, 143 ended by SIGTERM, as a machine does that is to be taken away: the job's own process, or a worker
of a training.
"""

import argparse
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from importlib.metadata import version
from types import FrameType, TracebackType
from typing import Any, NoReturn, cast

from equivdm.errors import EquivdmError, Stopped, UsageError
from jobs import options
from jobs.specs import load_spec
from jobs.submission import PACKAGES
from pipelines.allocator import lean_memory
from pipelines.config import AnyJob, DistillJob, EvaluateJob, Job, TrainJob

TERMINATED = 128 + signal.SIGTERM
"""Exit code of a run that was ended by SIGTERM."""

JOB_HELP = {
    "preprocess": "videos to clips: flow, occlusion, motion plan, latents, condition",
    "train": "clips to a model, with the ordinary denoising loss on warped noise",
    "distill": "a model to a student of one step, or of few",
    "render": "driving videos, or clips, and a model to videos",
    "evaluate": "generated videos of any system to metrics, comparisons and a report",
}


class Parser(argparse.ArgumentParser):
    """Argparse that leaves the last word on errors to `main`."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}: see `{self.prog} --help`")


class Terminated(KeyboardInterrupt):
    """SIGTERM: a job commits what has arrived and writes its record, as after Ctrl-C."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; `argv` comes without the program's name."""
    arguments = None
    lean_memory()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
    try:
        arguments = parser().parse_args(argv)
        if not arguments.debug:
            sys.excepthook = _one_line
        return arguments.call(arguments)
    except EquivdmError as error:
        if arguments and arguments.debug:
            raise
        return _complain(str(error), _code(error))
    except ModuleNotFoundError as error:
        if (arguments and arguments.debug) or (error.name or "").partition(".")[0] in PACKAGES:
            raise
        cure = "pip install 'equivdm[cpu]', or 'equivdm[gpu]' where there is one"
        return _complain(f"got no package {error.name}: {cure}", 2)
    except KeyboardInterrupt as interrupt:
        code = TERMINATED if isinstance(interrupt, Terminated) else 130
        return _complain("interrupted: what was committed is kept; run the same command to continue", code)


def _code(error: EquivdmError) -> int:
    if isinstance(error, Stopped):
        return TERMINATED
    return 2 if isinstance(error, UsageError) else 1


def _terminate(number: int, _: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # a second one must not stop the commit that the first has brought about
    raise Terminated


def _complain(text: str, code: int) -> int:
    sys.stderr.writelines(f"equivdm: {line}\n" for line in text.splitlines())
    return code


def _one_line(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
    """What an error that nobody expected looks like without --debug; Python then exits with 1."""
    last = (str(error).strip().splitlines() or ["no message"])[-1]
    _complain(f"{kind.__name__}: {last} (run again with --debug for the traceback)", 1)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = Parser(prog="equivdm", description="Motion-locked video-to-video diffusion at dataset scale, on Ray.")
    top.add_argument("--version", action="version", version=f"equivdm {version('equivdm')}")
    top.add_argument("--debug", action="store_true", help="show tracebacks")
    top.set_defaults(call=lambda _: top.print_help() or 2)
    verbs = top.add_subparsers(metavar="VERB", title="verbs")

    options.doctor_options(_verb(verbs, "doctor", "say what this machine has, what is missing, and the cure", _doctor))
    options.demo_options(_verb(verbs, "demo", "run all five jobs at tiny size and write a report", _demo))
    for name, about in JOB_HELP.items():
        options.spec_options(_verb(verbs, name, about, _job), f"tiny_{name}")
    about = "test the paper's claims by small trainings, and write a page of what they show"
    options.reproduce_options(_verb(verbs, "reproduce", about, _reproduce))
    options.plan_options(
        _verb(verbs, "plan", "say what a job would do, how long it may take and what it may cost", _plan)
    )
    options.look_options(_verb(verbs, "status", "say how a job stands: outcomes, failures, tables, last runs", _status))
    about = "add a run up: every input has an outcome, every object is whole"
    options.spec_options(_verb(verbs, "audit", about, _audit), "tiny_evaluate")
    _quarantine_verbs(
        _verb(verbs, "quarantine", "items that no run tries again: list, retry or release them", _no_verb)
    )
    options.gc_options(_verb(verbs, "gc", "delete the files of a store that nothing names", _gc))
    _cluster_verbs(verbs)
    about = "write the HTML report of what an evaluate spec has measured"
    options.report_options(_verb(verbs, "report", about, _report))
    options.scenes_options(_verb(verbs, "scenes", "generate videos whose motion is known exactly", _scenes))
    options.warp_options(_verb(verbs, "warp", "write the warped noise of one video for any other tool", _warp))
    return top


def _verb(verbs: Any, name: str, about: str, call: Callable[[argparse.Namespace], int]) -> Parser:
    below: Parser = verbs.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
    below.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks")
    below.set_defaults(call=call, verb=name)
    return below


def _cluster_verbs(verbs: Any) -> None:
    about = "run a job on a Ray cluster, and follow its log; a job that runs there already is followed only"
    options.submit_options(_verb(verbs, "submit", about, _submit), tuple(JOB_HELP))
    about = "list the jobs that were submitted to a cluster"
    options.server_options(_verb(verbs, "jobs", about, _jobs))
    about = "print, or apply, what makes a spec with `schedule` recur: on Kubernetes, by cron, on Slurm"
    options.schedule_options(_verb(verbs, "schedule", about, _schedule), ("kubernetes", "cron", "slurm"))
    logs = _verb(verbs, "logs", "show the log of a submitted job", _logs)
    options.job_options(logs)
    logs.add_argument("-f", "--follow", action="store_true", help="go on until the job ends")
    about = "tell a submitted job to save what it has and end"
    options.job_options(_verb(verbs, "stop", about, _stop))


def _quarantine_verbs(quarantine: Parser) -> None:
    quarantine.set_defaults(parser=quarantine)
    below = quarantine.add_subparsers(metavar="VERB", title="verbs")
    options.look_options(_verb(below, "list", "show the items of a job that are in quarantine, and why", _quarantined))
    about = "have the next run try items once more"
    options.take_out_options(_verb(below, "retry", about, partial(_take_out, again=True)))
    about = "leave items out for good: they count as filtered, by rule left_out"
    options.take_out_options(_verb(below, "release", about, partial(_take_out, again=False)))


# What a verb needs is imported when that verb runs: it brings torch and Ray along.


def _job(arguments: argparse.Namespace) -> int:
    job = load_spec(arguments.spec, arguments.settings, arguments.verb)
    from jobs.show import show_summary

    return show_summary(import_module(f"pipelines.{arguments.verb}").run(job))


def _submit(arguments: argparse.Namespace) -> int:
    from jobs import remote
    from jobs.submission import submission_of

    job = load_spec(arguments.spec, arguments.settings, arguments.job)
    submission = submission_of(arguments.job, job, arguments.variables, arguments.image)
    if arguments.dry_run:
        return remote.show(submission, arguments.address)
    return remote.submit(submission, arguments.address, arguments.detach)


def _jobs(arguments: argparse.Namespace) -> int:
    from jobs import remote

    return remote.list_jobs(arguments.address)


def _schedule(arguments: argparse.Namespace) -> int:
    from jobs import schedule

    return schedule.run(schedule.ScheduleOptions.of(arguments))


def _logs(arguments: argparse.Namespace) -> int:
    from jobs import remote

    return remote.logs(arguments.id, arguments.address, arguments.follow)


def _stop(arguments: argparse.Namespace) -> int:
    from jobs import remote

    return remote.stop(arguments.id, arguments.address)


def _plan(arguments: argparse.Namespace) -> int:
    job = load_spec(arguments.spec, arguments.settings)
    if arguments.clip:
        return _estimate(job, arguments)
    from jobs.look import show_plan
    from pipelines.capacity import Machines
    from pipelines.plan import make_plan

    if arguments.gpus and not arguments.cpus:
        raise UsageError("--gpus: got it without --cpus, wanted both: give the CPUs of the same machines")
    machines = Machines(arguments.cpus, arguments.gpus) if arguments.cpus else None
    plan = make_plan(cast(AnyJob, job), arguments.device, arguments.mfu, machines)
    return show_plan(plan, arguments.json)


def _estimate(job: Job, arguments: argparse.Namespace) -> int:
    """Estimate without looking for clips in the store: it may be empty yet, but for the teacher of a distillation."""
    from equivdm.config import Bucket
    from jobs.look import show_estimate

    frames, height, width = arguments.clip
    sizes = Bucket(frames=frames, height=height, width=width), arguments.device, arguments.mfu
    match job:
        case TrainJob():
            from pipelines.estimate import estimate

            found = estimate(job, *sizes)
        case DistillJob():
            from pipelines.estimate_distill import estimate_distillation
            from pipelines.models import newest_model
            from pipelines.store import open_store

            found = estimate_distillation(job, newest_model(open_store(job.store), job.teacher).backbone, *sizes)
        case _:
            raise UsageError(f"--clip: got {arguments.spec}, wanted a spec of train or distill: leave --clip out")
    return show_estimate(found, arguments.json)


def _status(arguments: argparse.Namespace) -> int:
    job = load_spec(arguments.spec, arguments.settings)
    from jobs.look import show_status
    from pipelines.status import job_status

    return show_status(job_status(cast(AnyJob, job)), arguments.json)


def _no_verb(arguments: argparse.Namespace) -> int:
    arguments.parser.print_help()
    return 2


def _quarantined(arguments: argparse.Namespace) -> int:
    job = load_spec(arguments.spec, arguments.settings)
    from jobs.look import show_quarantine
    from pipelines.quarantine import quarantined

    return show_quarantine(quarantined(cast(AnyJob, job)), arguments.json)


def _take_out(arguments: argparse.Namespace, again: bool) -> int:
    if bool(arguments.names) == arguments.all:
        raise UsageError(
            f"got {len(arguments.names)} names and {'--all' if arguments.all else 'no --all'}, wanted names or --all: "
            "see `equivdm quarantine list`"
        )
    job = load_spec(arguments.spec, arguments.settings)
    from jobs.console import say
    from pipelines.quarantine import take_out

    taken = take_out(cast(AnyJob, job), arguments.names, again)
    say(f"{len(taken)} items {'will be tried once more by the next run' if again else 'are left out for good'}")
    return 0


def _gc(arguments: argparse.Namespace) -> int:
    job = load_spec(arguments.spec, arguments.settings)
    from jobs.look import show_garbage
    from pipelines.garbage import collect, orphans
    from pipelines.store import open_store

    store = open_store(job.store)
    found = orphans(store, arguments.older_than)
    deleted = None if arguments.dry_run else collect(store, found)
    return show_garbage(store.url, found if deleted is None else deleted, arguments.dry_run, arguments.json)


def _audit(arguments: argparse.Namespace) -> int:
    job = load_spec(arguments.spec, arguments.settings)
    from jobs.show import show_summary
    from pipelines.audit import audit

    return show_summary(audit(cast(AnyJob, job)))


def _report(arguments: argparse.Namespace) -> int:
    job = load_spec(arguments.spec, arguments.settings, "evaluate")
    from jobs.console import say
    from pipelines.report import build_report

    page = build_report(cast(EvaluateJob, job), arguments.out)
    say(f"report: {page}")
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from jobs import doctor

    return doctor.run(arguments.store)


def _demo(arguments: argparse.Namespace) -> int:
    from jobs import demo

    return demo.run(arguments.videos, arguments.out, arguments.limit)


def _reproduce(arguments: argparse.Namespace) -> int:
    from jobs import reproduce

    return reproduce.run(reproduce.ReproduceOptions.of(arguments))


def _scenes(arguments: argparse.Namespace) -> int:
    from jobs import scenes

    return scenes.run(scenes.ScenesOptions.of(arguments))


def _warp(arguments: argparse.Namespace) -> int:
    from jobs import warp

    return warp.run(warp.WarpOptions.of(arguments))


if __name__ == "__main__":
    sys.exit(main())
