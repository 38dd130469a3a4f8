"""`equivdm schedule`: what makes a job recur, for those who run clusters. Neither torch nor Ray is loaded.

Every target runs `equivdm submit`, or the job itself, as a person would: a run that overlaps the one before follows it
instead of starting another, one that died is gone on with, and a missed one is made up for by the next.
"""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from equivdm.errors import EquivdmError, UsageError
from jobs.console import say
from jobs.specs import find_spec, load_spec
from jobs.submission import SPEC, Submission, submission_of
from pipelines.settings import ScheduleConfig

TOKEN_SECRET = {"name": "equivdm-ray", "key": "auth_token"}
"""Secret of Kubernetes that holds the cluster's token (cluster/kuberay)."""

SLURM_SCRIPT = Path("cluster", "slurm.sh")

_LONGEST = 52
"""Characters of a CronJob's name, to which Kubernetes adds eleven."""


class Unapplied(EquivdmError):
    """The target did not take the object."""


@dataclass(frozen=True)
class ScheduleOptions:
    """What `schedule` is asked for."""

    spec: str
    settings: Sequence[str]
    target: str
    address: str | None
    image: str | None
    variables: Sequence[str]
    apply: bool

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Self:
        """Read the command line."""
        return cls(**{name: getattr(arguments, name) for name in cls.__dataclass_fields__})


def run(options: ScheduleOptions) -> int:
    """Print the object of the target, or apply it.

    Raises UsageError for a spec without a schedule, or what the target needs and lacks; Unapplied where it refuses.
    """
    job = load_spec(options.spec, options.settings)
    if job.schedule is None:
        raise UsageError(f"{options.spec}: got no schedule, wanted one: for example --set schedule.cron='0 2 * * *'")
    verb: str = job.job  # type: ignore[attr-defined]
    submission = submission_of(verb, job, options.variables, None)
    name = f"equivdm-{submission.name}"[:_LONGEST]
    text = _TARGETS[options.target](name, job.schedule, submission, options)
    if not options.apply:
        say(text.rstrip())
        return 0
    _APPLY[options.target](name, text)
    say(f"{name}: applied")
    return 0


def cron_job(name: str, schedule: ScheduleConfig, submission: Submission, options: ScheduleOptions) -> str:
    """Return a CronJob of Kubernetes that submits the job, and follows it."""
    for option, value in (("--image", options.image), ("--address", options.address)):
        if not value:
            raise UsageError(f"{option}: got none, wanted it for --target kubernetes: see cluster/README.md")
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,  # it talks to the job server only
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(submission, options)],
    }
    labels = {"app.kubernetes.io/name": "equivdm", "app.kubernetes.io/component": "schedule"}
    manifest = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "schedule": schedule.cron,
            "timeZone": schedule.timezone,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": schedule.start_within_s,
            "jobTemplate": {
                # A retry is the next run: it follows the job where it still runs, and goes on where it does not.
                "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": dict(labels)}, "spec": pod}},
            },
        },
    }
    return yaml.dump(manifest, Dumper=_Readable, sort_keys=False)


class _Readable(yaml.SafeDumper):
    """Text of several lines as a block."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Readable.add_representer(str, _text)


def _container(submission: Submission, options: ScheduleOptions) -> dict[str, Any]:
    command = ["equivdm", "submit", submission.verb, f"env:{SPEC}", "--address", str(options.address)]
    command += [part for variable in options.variables for part in ("--env", variable)]
    return {
        "name": "submit",
        "image": options.image,
        "command": command,
        "env": [
            {"name": SPEC, "value": submission.spec},
            {"name": "RAY_AUTH_MODE", "value": "token"},
            {"name": "RAY_AUTH_TOKEN", "valueFrom": {"secretKeyRef": TOKEN_SECRET}},
        ],
        "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }


def crontab(name: str, schedule: ScheduleConfig, submission: Submission, options: ScheduleOptions) -> str:
    """Return the lines of a crontab: the job on this machine, or submitted where there is an address."""
    program = str(Path(sys.executable).with_name("equivdm"))
    # The lock is on the spec's file: what still runs is not started again.
    command = ["flock", "--nonblock", str(find_spec(options.spec).resolve()), program]
    if options.address:
        command += ["submit", submission.verb, *_arguments(options), "--address", options.address]
        command += [part for variable in options.variables for part in ("--env", variable)]
    else:
        command += [submission.verb, *_arguments(options)]
    # cron takes an unescaped % for the end of the command.
    line = shlex.join(command).replace("%", r"\%")
    return f"# {name}\nCRON_TZ={schedule.timezone}\n{schedule.cron} {line}\n# end of {name}\n"


def scrontab(name: str, schedule: ScheduleConfig, submission: Submission, options: ScheduleOptions) -> str:
    """Return an entry of Slurm's scrontab, which submits a job of Slurm: a Ray cluster that runs the job."""
    if schedule.timezone != ScheduleConfig.model_fields["timezone"].default:
        raise UsageError("schedule.timezone: got one for --target slurm, wanted none: scrontab has that of its machine")
    # A batch job of its own, so that the script's options hold; the next one waits for the one before.
    batch = ["sbatch", f"--job-name={name}", "--dependency=singleton", str(SLURM_SCRIPT.resolve())]
    command = shlex.join([*batch, submission.verb, *_arguments(options)])
    return f"# {name}\n#SCRON --time=5\n{schedule.cron} {command}\n# end of {name}\n"


def _arguments(options: ScheduleOptions) -> list[str]:
    """The spec as a file that is found from anywhere, and the settings on top of it."""
    return [str(find_spec(options.spec).resolve()), *(part for each in options.settings for part in ("--set", each))]


def _kubectl(name: str, text: str) -> None:
    del name
    _run(["kubectl", "apply", "-f", "-"], text)


def _tab(command: str, name: str, text: str) -> None:
    """Put the lines into a crontab in the place of those of before."""
    kept = subprocess.run([command, "-l"], capture_output=True, text=True, check=False).stdout
    before, _, rest = kept.partition(f"# {name}\n")
    after = rest.partition(f"# end of {name}\n")[2]
    _run([command, "-"], before + text + after)


def _run(command: Sequence[str], text: str) -> None:
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise UsageError(
            f"--apply: got no {command[0]} here: run it where there is one, or pipe what is printed"
        ) from error
    if done.returncode:
        raise Unapplied(f"{command[0]}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")


_TARGETS = {"kubernetes": cron_job, "cron": crontab, "slurm": scrontab}

_APPLY: Mapping[str, Any] = {
    "kubernetes": _kubectl,
    "cron": lambda name, text: _tab("crontab", name, text),
    "slurm": lambda name, text: _tab("scrontab", name, text),
}
