"""The package alone, in an environment of its own: what a laptop that submits jobs has."""

import os
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

from jobs.submission import PACKAGES

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with nothing but what the package asks for."""
    folder, copy = tmp_path_factory.mktemp("laptop"), tmp_path_factory.mktemp("checkout")
    for name in PACKAGES:  # pip leaves what it builds in the folder that it installs
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "-c", str(ROOT / "constraints.txt"), str(copy)], check=True)
    return folder / "bin"


def run(laptop: Path, *command: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "RAY_"))}
    return subprocess.run(
        [laptop / command[0], *command[1:]], cwd="/", env=clean, text=True, capture_output=True, check=False
    )


@pytest.mark.parametrize("package", ["torch", "deepspeed", "deltalake", "decord", "cv2"])
def test_nothing_that_computes_is_there(laptop: Path, package: str) -> None:
    assert run(laptop, "python", "-c", f"import {package}").returncode == 1


def test_a_job_is_checked_and_shown(laptop: Path) -> None:
    shown = run(
        laptop, "equivdm", "submit", "preprocess", "tiny_preprocess", "--dry-run", "--address", "http://head:8265"
    )
    assert shown.returncode == 0, shown.stderr
    assert "# job preprocess-" in shown.stdout
    assert "source:\n  root: out/demo/videos" in shown.stdout
    wrong = run(laptop, "equivdm", "submit", "preprocess", "tiny_preprocess", "--set", "clip.frames=-1", "--dry-run")
    assert wrong.returncode == 2
    assert len(wrong.stderr.splitlines()) == 1


def test_a_schedule_is_printed(laptop: Path) -> None:
    shown = run(
        laptop, "equivdm", "schedule", "tiny_preprocess", "--set", "schedule.cron=0 2 * * *", "--target", "cron"
    )
    assert shown.returncode == 0, shown.stderr
    assert "0 2 * * *" in shown.stdout


def test_what_wants_more_is_one_line(laptop: Path) -> None:
    refused = run(laptop, "equivdm", "plan", "tiny_preprocess")
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert "equivdm[cpu]" in refused.stderr
