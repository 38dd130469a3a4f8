"""What makes a job recur: objects that their targets take, put in place once, and no secret in them."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from jobs.cli import main
from jobs.specs import load_spec
from jobs.submission import SPEC
from pipelines.preprocess import clip_fingerprint

NIGHTLY = ["--set", "schedule.cron=30 2 * * 1-5", "--set", "store.root=s3://bucket/store"]
KUBERNETES = ["--target", "kubernetes", "--address", "http://head:8265", "--image", "equivdm:1"]


def printed(capsys: pytest.CaptureFixture[str], *more: str) -> str:
    assert main(["schedule", "tiny_preprocess", *NIGHTLY, *more]) == 0
    return capsys.readouterr().out


def test_a_cron_job_submits_the_job_whose_spec_it_holds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = yaml.safe_load(
        printed(capsys, *KUBERNETES, "--env", "AWS_PROFILE=render", "--set", "schedule.timezone=Asia/Tokyo")
    )
    spec = manifest["spec"]
    assert (spec["schedule"], spec["timeZone"], spec["concurrencyPolicy"]) == ("30 2 * * 1-5", "Asia/Tokyo", "Forbid")
    (container,) = spec["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    known = {each["name"]: each for each in container["env"]}
    assert "value" not in known["RAY_AUTH_TOKEN"]
    monkeypatch.setenv(SPEC, known[SPEC]["value"])
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    program, *command = container["command"]
    assert program == "equivdm"
    assert main([*command, "--dry-run"]) == 0
    by_hand = [
        "submit",
        "preprocess",
        "tiny_preprocess",
        "--set",
        "store.root=s3://bucket/store",
        "--env",
        "AWS_PROFILE=render",
    ]
    scheduled = capsys.readouterr().out
    assert main([*by_hand, "--dry-run", "--address", "http://head:8265"]) == 0
    assert capsys.readouterr().out == scheduled, "by hand it would be another job"


@pytest.mark.parametrize("target", ["cron", "slurm"])
def test_a_table_has_one_line_that_runs_the_job_and_is_replaced_when_applied_again(
    target: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, program = tmp_path / "table", {"cron": "crontab", "slurm": "scrontab"}[target]
    table.write_text("0 1 * * * other\n")
    fake = tmp_path / "bin" / program
    fake.parent.mkdir()
    fake.write_text(
        f'#!/bin/sh\nif [ "$1" = -l ]; then cat {table}; else cat > {table}.new && mv {table}.new {table}; fi\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    lines = printed(capsys, "--target", target)
    for _ in range(2):
        printed(capsys, "--target", target, "--apply")
        assert table.read_text() == f"0 1 * * * other\n{lines}"
    (line,) = [each for each in lines.splitlines() if each.startswith("30 2 * * 1-5 ")]
    command = shlex.split(line.split(" ", 5)[5])
    assert command[-4:] == NIGHTLY
    assert load_spec(command[-5], [*command[-3::2]]) == load_spec("tiny_preprocess", NIGHTLY[1::2])


def test_what_still_runs_is_not_started_again(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    spec = tmp_path / "night.yaml"
    spec.write_text("job: preprocess\nschedule: {cron: 0 2 * * *}\nstore: {root: s}\nsource: {root: v}\n")
    assert main(["schedule", str(spec), "--target", "cron"]) == 0
    line = next(each for each in capsys.readouterr().out.splitlines() if each.startswith("0 2 "))
    lock = shlex.split(line.split(" ", 5)[5])[:3]
    with subprocess.Popen([*lock, "sh", "-c", "echo runs; sleep 1"], stdout=subprocess.PIPE) as running:
        assert running.stdout
        running.stdout.readline()
        assert subprocess.run([*lock, "true"], check=False).returncode == 1
    assert subprocess.run([*lock, "true"], check=False).returncode == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--set", "schedule=null"], "got no schedule, wanted one: for example --set schedule.cron='0 2 * * *'"),
        (["--set", "schedule.cron=at two"], "got 'at two', wanted five fields as cron has them"),
        (["--set", "schedule.timezone=Mars"], "got 'Mars', wanted the name of a time zone"),
        (["--target", "kubernetes"], "--image: got none, wanted it for --target kubernetes"),
        (["--env", "HF_TOKEN=abc"], "HF_TOKEN, which looks like a secret"),
    ],
)
def test_what_cannot_recur_is_refused(more: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", "tiny_preprocess", *NIGHTLY, *more]) == 2
    assert said in capsys.readouterr().err


def test_what_is_not_there_to_apply_it_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["schedule", "tiny_preprocess", *NIGHTLY, *KUBERNETES, "--apply"]) == 2
    assert "got no kubectl here" in capsys.readouterr().err
    refusing = tmp_path / "kubectl"
    refusing.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('forbidden')\n")
    refusing.chmod(0o755)
    assert main(["schedule", "tiny_preprocess", *NIGHTLY, *KUBERNETES, "--apply"]) == 1
    assert "kubectl: forbidden" in capsys.readouterr().err


def test_when_a_job_recurs_changes_no_key() -> None:
    assert clip_fingerprint(load_spec("tiny_preprocess", NIGHTLY[1:2])) == clip_fingerprint(
        load_spec("tiny_preprocess")
    )  # type: ignore[arg-type]
