"""The direction of imports: jobs -> pipelines -> equivdm, and config modules that need pydantic only."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FORBIDDEN = {
    "equivdm": {
        "pipelines",
        "jobs",
        "cluster",
        "tests",
        "ray",
        "deepspeed",
        "s3fs",
        "fsspec",
        "deltalake",
        "pyarrow",
    },
    "pipelines": {"jobs", "cluster", "tests"},
    "jobs": {"cluster", "tests"},
}

PIPELINE = {"ray", "deepspeed", "deltalake", "pyarrow", "s3fs", "av", "diffusers", "beartype"}
"""Packages that a machine lent for its GPU lacks."""


def imported(path: Path) -> Iterator[str]:
    """Top-level names of the packages that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("package", FORBIDDEN)
def test_packages_import_in_one_direction(package: str) -> None:
    modules = sorted((ROOT / package).rglob("*.py"))
    assert modules
    wrong = {str(m.relative_to(ROOT)): found for m in modules if (found := set(imported(m)) & FORBIDDEN[package])}
    assert not wrong


@pytest.mark.parametrize(
    "module",
    [
        "equivdm.config",
        "equivdm.render_config",
        "equivdm.metrics_config",
        "pipelines.config",
        "equivdm.study.config",
        "equivdm.errors",
        "jobs.specs",
        "jobs.cli",
        "pipelines.estimate",
        "pipelines.estimate_distill",
    ],
)
def test_planning_a_job_loads_neither_torch_nor_ray(module: str) -> None:
    heavy = "{'torch', 'ray', 'numpy', 'cv2', 'numba', 'deltalake', 'deepspeed'}"
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["pipelines.preprocess", "pipelines.evaluate"])
def test_workers_that_need_no_network_load_no_torch(module: str) -> None:
    """It costs each of them three seconds and a quarter of a gigabyte."""
    code = f"import sys, {module}; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.strip() == "False"


def test_what_runs_on_a_gpu_needs_little_else() -> None:
    """As on a GPU machine that has torch, torchvision and triton, but none of the pipeline's packages."""
    modules = ("benchmarks.gpu", "tests.equivdm.noise.gpu.cases", "equivdm.networks.raft")
    import_without({*PIPELINE, "pydantic"}, *modules, "equivdm.networks.videocrafter2.checkpoint")


def test_experiments_need_torch_opencv_numba_and_pydantic() -> None:
    """On such a machine their clips are read, which were drawn elsewhere: photographs need packages of their own."""
    modules = ("equivdm.study.experiments", "equivdm.study.models", "benchmarks.reproduce")
    import_without({*PIPELINE, "safetensors", "scipy", "skimage", "sklearn", "transformers", "matplotlib"}, *modules)


def import_without(absent: set[str], *modules: str) -> None:
    """Import modules where these packages are absent."""
    code = f"""
import importlib, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
for module in {modules}:
    importlib.import_module(module)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
