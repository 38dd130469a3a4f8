"""Progress of a long step: a bar where somebody watches, a few plain lines where nobody does."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

LINE_EVERY_S = 5.0
"""Plain lines come at most this often between the first and the last."""


class Advance(Protocol):
    """Tells a bar that `n` more items are through, with facts to show beside it, such as `loss=0.12`."""

    def __call__(self, n: int = 1, **facts: object) -> None: ...


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Advance]:
    """Show how far a step has come, on stderr, while the block runs.

    `total` is the number of items, None where it is not known beforehand. On a terminal this is a bar with
    count, rate, time left and the latest facts; without one, or where CI is set, a line at the start, at
    the end, and every few seconds.
    """
    console = Console(stderr=True)
    with _bar(label, total, console) if watched(console) else _lines(label, total) as advance:
        yield advance


def watched(console: Console) -> bool:
    """Whether somebody watches bars there: a terminal, and not one of CI."""
    return console.is_terminal and not os.environ.get("CI")


def bars(console: Console) -> Progress:
    """Return a display of bars with count, rate, time left, and the text in each task's field `facts`."""
    return Progress(
        TextColumn("{task.description:<12}"),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(elapsed_when_finished=False),
        TextColumn("[dim]{task.fields[facts]}"),
        console=console,
    )


@contextmanager
def _bar(label: str, total: int | None, console: Console) -> Iterator[Advance]:
    with bars(console) as bar:
        task: TaskID = bar.add_task(label, total=total, facts="")

        def advance(n: int = 1, **facts: object) -> None:
            bar.update(task, advance=n)
            if facts:
                bar.update(task, facts=facts_in_words(facts))

        yield advance


class _Rate(ProgressColumn):
    """Items a second, or seconds an item where that reads better."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each", style="cyan")


@contextmanager
def _lines(label: str, total: int | None) -> Iterator[Advance]:
    of = "" if total is None else f" of {total}"
    start = last = time.monotonic()
    done, latest = 0, ""

    def say(text: str) -> None:
        sys.stderr.write(f"{label}: {text}\n")
        sys.stderr.flush()

    def advance(n: int = 1, **facts: object) -> None:
        nonlocal done, last, latest
        done += n
        latest = facts_in_words(facts) or latest
        now = time.monotonic()
        if now - last >= LINE_EVERY_S and done != total:
            last = now
            say(f"{done}{of}{time_left(done, total, now - start)}{latest and '  '}{latest}")

    say(f"0{of}" if total is not None else "started")
    yield advance
    say(f"{done}{of} in {time.monotonic() - start:.1f} s{latest and '  '}{latest}")


def time_left(done: int, total: int | None, seconds: float) -> str:
    """`, about 45 s left` at the rate so far, or nothing where that cannot be said."""
    return "" if total is None or not done else f", about {seconds / done * (total - done):.0f} s left"


def facts_in_words(facts: dict[str, object]) -> str:
    """`loss=0.123 filtered=2`: floats to three figures."""
    return " ".join(
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}" for name, value in facts.items()
    )
