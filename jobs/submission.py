"""What is submitted to a cluster: a command, the resolved spec, what travels along. Neither torch nor Ray is loaded."""

import hashlib
import json
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from equivdm.errors import UsageError
from jobs.specs import ENVIRONMENT
from pipelines.config import Job

PACKAGES = ("equivdm", "pipelines", "jobs")
"""What travels with a job, so that every node runs the code of the machine that submits it."""

SPEC = "EQUIVDM_SPEC"
"""Variable of the job's environment that holds its spec."""

PATIENCE_S = 600
"""Seconds that Ray gives a job to save what it has when it is told to stop, before it kills it. Three are usual."""

REFERENCES = ("AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE")
"""Variables that say where on the cluster the credentials are, and hold none."""

_SECRET = re.compile(r"(?i)secret|token|password|passwd|credential|access_key|api_key|private_key|authorization")

_WITH_PASSWORD = re.compile(r"\w+://[^/\s]*:[^/\s]*@")


@dataclass(frozen=True)
class Submission:
    """A job as the job server is told it."""

    verb: str
    spec: str
    """The resolved spec, as YAML: what differs from the defaults."""
    environment: Mapping[str, str]
    """Variables of the job beside its spec."""
    image: str | None = None
    """Container image that has the code; none uploads that of this machine."""

    @property
    def name(self) -> str:
        """What names the job, whatever machine submits it: the same job has the same name."""
        known = json.dumps([self.verb, self.spec, dict(self.environment), self.image], sort_keys=True)
        return f"{self.verb}-{hashlib.sha256(known.encode()).hexdigest()[:12]}"

    @property
    def entrypoint(self) -> str:
        """The command that the cluster runs."""
        command = ["equivdm"] if self.image else ["python", "-m", "jobs.cli"]
        return shlex.join([*command, self.verb, f"{ENVIRONMENT}{SPEC}"])

    def runtime_env(self, code: Path | None) -> dict[str, Any]:
        """Return what travels along; `code` is the folder that is uploaded."""
        found: dict[str, Any] = {"env_vars": {**self.environment, SPEC: self.spec}}
        if self.image:
            return found | {"image_uri": self.image}
        return found if code is None else found | {"working_dir": str(code)}


def submission_of(verb: str, job: Job, settings: Sequence[str], image: str | None) -> Submission:
    """Put together what is submitted; `settings` are `NAME=VALUE` of the job's environment.

    Raises UsageError for a secret among them, or in the spec.
    """
    environment = {"RAY_JOB_STOP_WAIT_TIME_S": str(PATIENCE_S), **dict(map(_variable, settings))}
    # When a job recurs is nothing to those who run it: by hand and on schedule it is the same job.
    resolved = job.model_dump(mode="json", exclude_defaults=True, exclude={"schedule"})
    spec = yaml.safe_dump({"job": verb, **resolved}, sort_keys=False)
    if found := _WITH_PASSWORD.search(spec):
        raise UsageError(f"spec: got an address with a password, {_hidden(found[0])}, wanted none: {_BY_REFERENCE}")
    return Submission(verb, spec, environment, image)


_BY_REFERENCE = (
    f"credentials stay on the cluster; say where with --env {' or '.join(f'{name}=...' for name in REFERENCES[:2])}"
)


def _variable(setting: str) -> tuple[str, str]:
    name, equals, value = setting.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise UsageError(f"--env: got {name!r}, wanted NAME=VALUE: for example --env AWS_PROFILE=render")
    if _WITH_PASSWORD.search(value) or (_SECRET.search(name) and name not in REFERENCES):
        raise UsageError(f"--env: got {name}, which looks like a secret: {_BY_REFERENCE}")
    return name, value


def _hidden(address: str) -> str:
    return f"{address.partition('://')[0]}://...@"


@contextmanager
def packed(submission: Submission) -> Iterator[Path | None]:
    """Give a folder with the code that is uploaded; none where an image has it."""
    if submission.image:
        yield None
        return
    with TemporaryDirectory(prefix="equivdm-") as folder:
        for name in PACKAGES:
            shutil.copytree(_home(name), Path(folder, name), ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        yield Path(folder)


def _home(package: str) -> str:
    found = find_spec(package)
    assert found is not None, "the package that this module is of, or one that it stands on"
    assert found.submodule_search_locations, "a package"
    return found.submodule_search_locations[0]
