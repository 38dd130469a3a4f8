"""A process that keeps its memory asks the system for it once, and one that gives it back does."""

import platform
import subprocess
import sys

import pytest

COUNT = """
import resource
import numpy as np
from pipelines.allocator import keep_memory
if {keep}:
    keep_memory()
for number in range(20):
    if number == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**26, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
"""Counts the pages that 18 arrays of 64 MiB ask for, one after the other, when two have been there."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have other settings")
def test_arrays_of_one_size_after_the_first_ask_the_system_for_nothing() -> None:
    given_back, kept = (pages_asked_for(keep) for keep in (False, True))
    assert given_back >= 18 * 32  # pages of 2 MiB, or many more of 4 KiB
    assert kept < 18


def pages_asked_for(keep: bool) -> int:
    """Return how many pages a process of its own asks for."""
    code = COUNT.format(keep=keep)
    return int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


RESIDENT = """
from pathlib import Path

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) / 1024
"""

FREED = f"""{RESIDENT}
from pipelines.allocator import give_back

class Knot:
    def __init__(self):
        self.itself, self.held = self, [bytes(1000) for _ in range(100_000)]

knot = Knot()
before = resident()
last = bytes(1000)  # what is freed lies below it
del knot
give_back()
print(before - resident())
"""
"""Says how many MiB go with an object of 100 MiB that names itself."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators give back as they like")
def test_what_was_freed_is_given_back_in_the_midst_of_what_was_not() -> None:
    assert mib(FREED) > 80


BETWEEN = f"""{RESIDENT}
from pipelines.allocator import lean_memory
if {{lean}}:
    lean_memory()
bytes(2**24)
before = resident()
large, small = [], []
for _ in range(100):
    large.append(b"x" * 2**20)
    small.append(b"x" * 2**16)
large.clear()
print(resident() - before)
"""
"""Says how many MiB stay of a hundred, freed in the midst of what is small and was not; something large was before."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators give back as they like")
def test_a_driver_gives_back_what_is_large_at_once() -> None:
    assert mib(BETWEEN.format(lean=False)) > 80
    assert mib(BETWEEN.format(lean=True)) < 20  # 6 of them are small


def mib(code: str) -> float:
    """Return the figure that a process of its own prints."""
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


ARROW = """
from jobs.cli import main
try:
    main(["--version"])
except SystemExit:
    import pyarrow
    print(pyarrow.default_memory_pool().backend_name)
"""


def test_commands_take_arrows_memory_from_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", ARROW], check=True, capture_output=True, text=True)
    assert done.stdout.split()[-1] == "system"
