"""The container image: what is pinned, who it runs as, what is copied. No engine builds it here."""

import re
import tomllib

import pytest

from tests.cluster.manifests import CLUSTER

ROOT = CLUSTER.parent
ESCAPED = re.compile(r"\\\n")


def _instructions() -> list[tuple[str, str]]:
    """Return instruction and arguments, in order; lines that go on are joined."""
    text = "\n".join(line for line in (CLUSTER / "Dockerfile").read_text().splitlines() if not line.startswith("#"))
    lines = [line for line in ESCAPED.sub(" ", text).splitlines() if line.strip()]
    found = [re.fullmatch(r"([A-Z]+)\s+(.*)", line) for line in lines]
    assert all(found), "every line is an instruction"
    return [(each[1], each[2]) for each in found if each]


def _arguments(name: str) -> list[str]:
    return [arguments for instruction, arguments in _instructions() if instruction == name]


def test_base_images_have_a_version() -> None:
    stages = [re.fullmatch(r"(\S+) AS (\w+)", each) for each in _arguments("FROM")]
    assert [each[2] for each in stages if each] == ["build", "cpu", "cuda"]
    assert [each[1] for each in stages if each] == ["${BASE}", "${BASE}", "cpu"]
    base = _arguments("ARG")[0]
    assert re.fullmatch(r"BASE=python:3\.1[123]\.\d+-slim-\w+", base)
    minor = int(base.split(".")[1])
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"] == ">=3.11,<3.14"
    assert 11 <= minor < 14


def test_packages_are_those_of_the_constraints() -> None:
    installs = [part for run in _arguments("RUN") for part in run.split("&&") if "pip install" in part]
    assert len(installs) == 5
    pinned = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    for install in installs:
        words = install.split("pip install", 1)[1].replace("-c constraints.txt", "").split()
        names = [word for word in words if not word.startswith("-") and "$" not in word]
        constrained = "-c constraints.txt" in install
        assert all("==" in name or (constrained and name in pinned) for name in names), install
    (torch,) = re.findall(r"torch==\S+", " ".join(installs))
    assert torch in (ROOT / "constraints.txt").read_text().splitlines(), "and torch alone is taken from its own index"
    assert "--extra-index-url" not in " ".join(installs)


def test_it_runs_as_nobody_in_particular() -> None:
    stages = [index for index, (name, _) in enumerate(_instructions()) if name == "FROM"]
    for stage in stages[1:]:
        last = [
            arguments
            for name, arguments in _instructions()[stage : next((s for s in stages if s > stage), None)]
            if name == "USER"
        ][-1]
        assert last == "1000:1000", "a number, which runAsNonRoot can judge"


def test_a_compiler_is_where_something_compiles() -> None:
    stage, compilers = "", {}
    for name, arguments in _instructions():
        stage = arguments.split()[-1] if name == "FROM" else stage
        for compiler in re.findall(r"\b(g\+\+|gcc)(?!\S)", arguments):
            compilers.setdefault(stage, []).append(compiler)
    assert compilers == {"build": ["g++"], "cuda": ["gcc"]}, "Triton's stubs are C"


def test_extras_are_extras_of_ours() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (extras,) = (each.removeprefix("EXTRAS=") for each in _arguments("ARG") if each.startswith("EXTRAS="))
    assert set(extras.split(",")) <= project["optional-dependencies"].keys()


def test_what_is_copied_is_sent_and_nothing_else() -> None:
    ignored = (CLUSTER / "Dockerfile.dockerignore").read_text().splitlines()
    assert ignored[1] == "*", "all is left out but what is named"
    sent = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = {word for each in _arguments("COPY") if "--from" not in each for word in each.split()[:-1]}
    assert sent == copied
    assert all((ROOT / name).exists() for name in sent)


@pytest.mark.parametrize("name", ["wget", "rsync", "openssh-client"])
def test_what_kuberay_and_the_launcher_call_is_there(name: str) -> None:
    assert any(f" {name} " in run for run in _arguments("RUN"))
