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
