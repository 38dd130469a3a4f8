"""A bar per stage while a batch job runs: what its tally says, twice a second."""

import sys
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import TaskID

from pipelines.progress import LINE_EVERY_S, bars, facts_in_words, time_left, watched
from pipelines.prometheus import pending_gauge
from pipelines.tally import SEND_EVERY_S, Reporter, Sums

REFRESH_S = 0.5
"""Time from one look at the tally to the next."""

READ_TIMEOUT_S = 2.0
"""A tally that takes longer is asked again at the next look."""


class View(Protocol):
    """What shows how far a job is."""

    def open(self) -> None:
        """Begin."""
        ...

    def show(self, settled: int, sums: Mapping[str, Sums], facts: str) -> None:
        """Take the items settled, the sums of each stage, and the latest facts as text."""
        ...

    def close(self, whole: bool) -> None:
        """End; `whole` says that the job came to its end."""
        ...


class Stages:
    """Shows a bar for the job and one for each stage, on stderr, while its block runs; lines where nobody watches.

    `items` is the number of items to settle; `totals` has, for each stage in its order, how many items need it. The
    driver calls the object for every item that is settled, as it would a plain bar's `advance`. After the block,
    `sums` holds the final figures, also where it ended by an error.
    """

    def __init__(
        self, reporter: Reporter, label: str, items: int, totals: Mapping[str, int], console: Console | None = None
    ) -> None:
        self.sums: Mapping[str, Sums] = {}
        """What the tally last said, by stage, in the order of `totals`."""
        console = console or Console(stderr=True)
        self._view: View = Bars(label, items, totals, console) if watched(console) else Lines(label, items, totals)
        self._reporter, self._totals = reporter, totals
        self._items, self._settled, self._facts = items, 0, ""
        self._pending = pending_gauge(reporter.job) if reporter.actor is not None else None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._refresh, name="stages", daemon=True)

    def __enter__(self) -> Self:
        self._view.open()
        self(0)
        self._thread.start()
        return self

    def __call__(self, n: int = 1, **facts: object) -> None:
        """Count `n` more items as settled, with facts to show beside them."""
        self._settled += n
        self._facts = facts_in_words(facts) or self._facts
        if self._pending is not None:
            self._pending.set(self._items - self._settled)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        if self._reporter.actor is not None:
            time.sleep(SEND_EVERY_S)  # workers may hold their last figures back for so long
        self._look()
        self._view.close(whole=error is None)

    def _refresh(self) -> None:
        while not self._ended.wait(REFRESH_S):
            self._look()

    def _look(self) -> None:
        found = self._reporter.read(READ_TIMEOUT_S)
        if found:
            self.sums = {name: found[name] for name in (*self._totals, *found) if name in found}
        self._view.show(self._settled, self.sums, self._facts)


class Bars:
    """The bars of a job and of its stages on a terminal."""

    def __init__(self, label: str, items: int, totals: Mapping[str, int], console: Console) -> None:
        self._bars, self._totals = bars(console), totals
        self._job: TaskID = self._bars.add_task(escape(label), total=items, facts="")
        # A stage's clock starts with its first item, or its rate would count the wait for it.
        self._stages = {
            name: self._bars.add_task(escape(f"  {name}"), total=total, start=False, facts="")
            for name, total in totals.items()
        }

    def open(self) -> None:
        """Show the bars."""
        self._bars.start()

    def show(self, settled: int, sums: Mapping[str, Sums], facts: str) -> None:
        """Move the bars."""
        self._bars.update(self._job, completed=settled, facts=escape(facts))
        for name, task in self._stages.items():
            stage = sums.get(name, Sums())
            if stage.through:
                self._bars.start_task(task)
            # An item whose worker died is counted again by the one that tries it once more.
            done = min(stage.through, self._totals[name])
            self._bars.update(task, completed=done, facts=_failures(stage, "[red]{} failed[/]"))

    def close(self, whole: bool) -> None:
        """Leave the bars as they are."""
        del whole
        self._bars.stop()


class Lines:
    """Plain lines: at the start, every few seconds, and at the end."""

    def __init__(self, label: str, items: int, totals: Mapping[str, int]) -> None:
        self._label, self._items, self._totals = label, items, totals
        self._start = self._last = time.monotonic()
        self._settled, self._tail = 0, ""

    def open(self) -> None:
        """Write the first line."""
        self._say(f"0 of {self._items}")

    def show(self, settled: int, sums: Mapping[str, Sums], facts: str) -> None:
        """Remember the figures, and write a line where the last one is old enough."""
        stages = [
            f"{name} {min(sums[name].through, total)}/{total}{_failures(sums[name], ' ({} failed)')}"
            for name, total in self._totals.items()
            if name in sums
        ]
        self._settled, self._tail = settled, "  ".join(["", *stages, *([facts] if facts else [])])
        now = time.monotonic()
        if now - self._last >= LINE_EVERY_S and settled != self._items:
            self._last = now
            self._say(f"{settled} of {self._items}{time_left(settled, self._items, now - self._start)}{self._tail}")

    def close(self, whole: bool) -> None:
        """Write the last line, unless the job did not come to its end."""
        if whole:
            took = time.monotonic() - self._start
            self._say(f"{self._settled} of {self._items} in {took:.1f} s{self._tail}")

    def _say(self, text: str) -> None:
        sys.stderr.write(f"{self._label}: {text}\n")
        sys.stderr.flush()


def _failures(stage: Sums, words: str) -> str:
    return words.format(stage.failed) if stage.failed else ""
