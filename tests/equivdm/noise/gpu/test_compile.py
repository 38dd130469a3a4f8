"""The kernels compile for a GPU that this machine need not have."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize("ways", [[], pytest.param(["every"], marks=pytest.mark.slow)], ids=["each", "every way"])
def test_every_kernel_compiles_for_an_h200_and_fuses_nothing(ways: list[str], tmp_path: Path) -> None:
    environment = os.environ | {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "tests.equivdm.noise.gpu.compile_all", *ways]
    result = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    compiled = [line.split() for line in result.stdout.splitlines()]
    trees = [
        ast.parse((ROOT / f"equivdm/noise/gpu/kernels/{name}.py").read_text()) for name in ("steps", "births", "draws")
    ]
    functions = {each.name for tree in trees for each in tree.body if isinstance(each, ast.FunctionDef)}
    wanted = {name for name in functions if not name.startswith("_")}
    assert {name for name, _ in compiled} == wanted
    assert {fused for _, fused in compiled} == {"0"}
