"""What a benchmark of the pipelines measured, beside what it must reach and what no program could go below."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

CPUS = tuple(sorted(os.sched_getaffinity(0)))
"""CPUs that this process may use."""


@dataclass(frozen=True)
class Figure:
    """One measurement. Values are in the unit that `what` names."""

    case: str
    what: str
    measured: float
    wanted: float | None = None
    """The bar; None where the figure only explains another."""
    least: bool = False
    """Whether the bar is the least that will do; else it is the most."""
    floor: str = ""
    """What the same machine takes, in the same run, for the part that nobody can leave out."""

    @property
    def met(self) -> bool | None:
        """Whether the bar is reached; None without one."""
        if self.wanted is None:
            return None
        return self.measured >= self.wanted if self.least else self.measured <= self.wanted


def show(figures: Sequence[Figure]) -> None:
    """Print figures as a table."""
    table = Table("", "what", "measured", "wanted", "floor", "met", box=None, pad_edge=False)
    for figure in figures:
        sign = ">=" if figure.least else "<="
        wanted = "" if figure.wanted is None else f"{sign} {figure.wanted:g}"
        met = {True: "yes", False: "NO", None: ""}[figure.met]
        table.add_row(figure.case, figure.what, f"{figure.measured:.3g}", wanted, figure.floor, met)
    Console(width=160, highlight=False).print(table)


def peak_gib() -> float:
    """Return the largest resident set of this process so far. Not ru_maxrss: that begins with the parent's."""
    return _status_gib("VmHWM")


def resident_gib() -> float:
    """Return the resident set of this process as it is now."""
    return _status_gib("VmRSS")


def _status_gib(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name))) / 2**20


_TELL_PEAK = "from benchmarks.figures import peak_gib; print(peak_gib())"


@dataclass(frozen=True)
class Ran:
    """What a program took."""

    seconds: float
    peak_gib: float
    """Largest resident set of the process."""
    output: str


def run_python(code: str, *arguments: str, cpus: int = 2) -> Ran:
    """Run Python code in a process of its own on at most `cpus` CPUs. Raises RuntimeError where it fails."""
    bound = f"import os; os.sched_setaffinity(0, {CPUS[:cpus]})\n{code}\n{_TELL_PEAK}"
    started = time.monotonic()
    command = [sys.executable, "-c", bound, *arguments]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
    assert child.stdout is not None
    with child.stdout as stream:
        output = stream.read()
    if child.wait():
        raise RuntimeError(f"got exit status {child.returncode} from {code!r}; what it says is above")
    *lines, peak = output.splitlines()
    return Ran(time.monotonic() - started, float(peak), "\n".join(lines))
