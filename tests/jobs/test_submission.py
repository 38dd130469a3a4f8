"""What is submitted: a name that the job decides, a spec that the cluster reads back, and never a secret."""

import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from equivdm.errors import UsageError
from jobs import server
from jobs.cli import main
from jobs.server import Server, attempts
from jobs.specs import load_spec
from jobs.submission import PACKAGES, SPEC, Submission, packed, submission_of
from tests.test_imports import ROOT, import_without

SETTINGS = ("store.root=s3://bucket/store", "source.root=s3://bucket/videos", "clip.frames=8")


def submission(*settings: str, env: Sequence[str] = (), image: str | None = None) -> Submission:
    job = load_spec("tiny_preprocess", [*SETTINGS, *settings], "preprocess")
    return submission_of("preprocess", job, env, image)


def test_the_same_job_has_the_same_name_and_another_another() -> None:
    one = submission()
    assert one.name == submission("clip.frames=8").name
    changed = [submission("clip.frames=9"), submission(env=["AWS_PROFILE=a"]), submission(image="registry/equivdm:1")]
    assert len({one.name, *(each.name for each in changed)}) == 4
    assert one.name.startswith("preprocess-")


def test_the_cluster_reads_back_what_was_submitted(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = submission()
    monkeypatch.setenv(SPEC, sent.runtime_env(None)["env_vars"][SPEC])
    *_, verb, spec = sent.entrypoint.split()
    assert load_spec(spec, (), verb) == load_spec("tiny_preprocess", SETTINGS)


def test_a_variable_that_is_not_there_or_holds_no_spec_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="env:NO_SPEC: got no such variable of the environment"):
        load_spec("env:NO_SPEC")
    monkeypatch.setenv("NO_SPEC", "[1, 2]")
    with pytest.raises(UsageError, match=r"env:NO_SPEC: got .*, wanted a mapping of fields"):
        load_spec("env:NO_SPEC")


def test_the_code_of_this_machine_travels_unless_an_image_has_it(tmp_path: Path) -> None:
    with packed(submission()) as folder:
        assert folder is not None
        assert sorted(each.name for each in folder.iterdir()) == sorted(PACKAGES)
        assert not [each for each in folder.rglob("*") if each.suffix == ".pyc"]
        command = [sys.executable, "-m", "jobs.cli", "--version"]
        assert subprocess.run(command, cwd=folder, env={}, check=True, capture_output=True).stdout
    assert not folder.exists()
    with packed(imaged := submission(image="registry/equivdm:1")) as folder:
        assert folder is None
    assert imaged.runtime_env(None).keys() == {"env_vars", "image_uri"}
    assert imaged.entrypoint == f"equivdm preprocess env:{SPEC}"


@pytest.mark.parametrize(
    "variable",
    [
        "AWS_SECRET_ACCESS_KEY=abc",
        "AWS_ACCESS_KEY_ID=abc",
        "AWS_SESSION_TOKEN=abc",
        "HF_TOKEN=abc",
        "RAY_AUTH_TOKEN=abc",
        "DB_PASSWORD=abc",
        "HTTPS_PROXY=http://user:abc@proxy",
    ],
)
def test_a_secret_is_refused_and_not_repeated(variable: str) -> None:
    with pytest.raises(UsageError, match="looks like a secret: credentials stay on the cluster") as refused:
        submission(env=[variable])
    assert "abc" not in str(refused.value)


def test_where_secrets_are_may_be_said() -> None:
    sent = submission(env=["AWS_PROFILE=render", "AWS_SHARED_CREDENTIALS_FILE=/run/secrets/aws"])
    assert sent.environment["AWS_PROFILE"] == "render"
    with pytest.raises(UsageError, match=r"--env: got 'no-name', wanted NAME=VALUE"):
        submission(env=["no-name"])


def test_an_address_with_a_password_in_a_spec_is_refused() -> None:
    with pytest.raises(UsageError, match=r"spec: got an address with a password, https://...@") as refused:
        submission("source.endpoint_url=https://me:hidden@minio")
    assert "hidden" not in str(refused.value)


def test_a_dry_run_prints_a_spec_that_can_be_submitted(capsys: pytest.CaptureFixture[str]) -> None:
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    assert (
        main(["submit", "preprocess", "tiny_preprocess", *settings, "--dry-run", "--address", "http://head:8265"]) == 0
    )
    said = capsys.readouterr().out
    assert f"job {submission().name}-N" in said
    assert yaml.safe_load(said) == yaml.safe_load(submission().spec)


def test_what_cannot_be_submitted_is_refused_before_a_cluster_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", "train", "tiny_preprocess", "--address", "http://head:8265"]) == 2
    assert "is a spec of job 'preprocess', wanted 'train'" in capsys.readouterr().err
    assert main(["submit", "preprocess", "tiny_preprocess", "--set", "clip.frames=0", "--dry-run"]) == 2


def test_attempts_are_those_of_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    assert attempts("train-ab", ["train-ab-2", "train-ab-10", "train-abc-3", "train-ab-x", "raysubmit_1"]) == [2, 10]
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    with pytest.raises(UsageError, match="--address: got none, wanted the job server's"):
        Server(None)


class Breaking:
    """A job server's client whose connection breaks after each piece of a log."""

    def __init__(self, pieces: int) -> None:
        self.shown, self.pieces = 0, pieces

    async def tail_job_logs(self, _: str) -> AsyncIterator[str]:
        self.shown = min(self.shown + 1, self.pieces)
        yield "".join(f"line {number}\n" for number in range(self.shown))
        if self.shown < self.pieces:
            raise RuntimeError("broken off")

    def list_jobs(self) -> list[SimpleNamespace]:
        status = "SUCCEEDED" if self.shown == self.pieces else "RUNNING"
        facts = {"entrypoint": "", "start_time": 1, "end_time": None, "message": "", "driver_exit_code": None}
        return [SimpleNamespace(submission_id="job-1", status=SimpleNamespace(value=status), **facts)]


def test_a_log_is_followed_over_any_number_of_breaks_as_long_as_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PAUSE_S", 0.0)
    following, shown = Server.__new__(Server), list[str]()
    following.address, following._client = "http://head:8265", Breaking(pieces=12)  # type: ignore[assignment]
    assert following.follow("job-1", shown.append).status == "SUCCEEDED"
    assert "".join(shown) == "".join(f"line {number}\n" for number in range(12)), "each line once"


def test_what_is_not_installed_is_one_line_with_the_cure() -> None:
    code = "import sys; sys.modules['pyarrow'] = None; from jobs.cli import main; main(['status', 'tiny_preprocess'])"
    refused = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (
        refused.stderr
        == "equivdm: got no package pyarrow: pip install 'equivdm[cpu]', or 'equivdm[gpu]' where there is one\n"
    )


def test_a_machine_with_light_packages_only_can_submit() -> None:
    import_without(
        {"torch", "numpy", "cv2", "numba", "pyarrow", "deltalake", "deepspeed", "diffusers", "av", "s3fs", "einops"},
        "jobs.cli",
        "jobs.remote",
        "jobs.submission",
    )
