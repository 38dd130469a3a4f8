"""How processes ask the system for memory."""

import ctypes
import functools
import gc
import os

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""

_KEPT, _LARGEST_OF_OLD = 2**30, 2**25
"""Bytes; glibc before 2.35 takes no larger threshold than the second."""

_LARGE = 2**17
"""Bytes: where glibc begins. That it is set keeps it from growing with what was freed."""


@functools.cache
def keep_memory() -> None:
    """Let this process keep what it frees, up to 1 GiB, for its next item. Without glibc it does nothing.

    A clip's arrays are tens of MiB each, which malloc would map from the system and give back one by one: the page
    faults took a fifth of a clip's CPU time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
        if not mallopt(_M_MMAP_THRESHOLD, _KEPT):
            mallopt(_M_MMAP_THRESHOLD, _LARGEST_OF_OLD)


def give_back() -> None:
    """Give the system what this process has freed. Without glibc only cycles of Python's are freed.

    Each execution of Ray Data has threads of its own, and malloc a heap for each thread: what one has freed is of no
    use to the next.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def lean_memory() -> None:
    """Let what this process frees go back to the system at once, in so far as it is large: for a driver.

    Logs pass through it as tables that live for a moment, beside the states that are kept of them. Arrow's own
    allocator keeps what it once had (so Arrow takes from the system, in the processes that this one starts too); and
    malloc, once it has freed something large, serves more and more from a heap that only shrinks from its end.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # no use where Arrow is loaded already
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
