"""Threads that wait between calls: to start them takes as long as a small task."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def in_threads(function: Callable[[Task], Result], tasks: Iterable[Task], threads: int) -> list[Result]:
    """Return what `function` makes of each task, in order, by that many threads at once."""
    return list((_pool(threads).map if threads > 1 else map)(function, tasks))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="noise")


if hasattr(os, "register_at_fork"):  # a child process, such as a data loader's, has none of its parent's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
