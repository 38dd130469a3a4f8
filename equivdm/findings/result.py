"""What an experiment found, and what holds for a page of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from equivdm.findings.trials import Trials


@dataclass(frozen=True)
class Result:
    """An experiment and what it found."""

    name: str
    title: str
    claim: str
    axis: str | None
    metrics: Sequence[str]
    trials: Trials
    command: str
    wanted: int
    """Trainings of each model that are asked for; there may be fewer so far."""
    seconds: float
    """Of computing: its measurements, and the models that it needs, those of others among them."""
    models: int
    """How many it needs, those that they start from among them."""
    notes: Sequence[str] = ()
    pictures: Sequence[str] = ()
    """Lines of Markdown that show plots and videos."""


@dataclass(frozen=True)
class About:
    """What holds for all of a page."""

    machines: Sequence[str]
    dates: tuple[str, str]
    """Of the first and the last result."""
    seconds: float
    """Of computing, every model once."""
    wall_seconds: float | None
    """Of the runs, start-up and queues among them; None where that is not known."""
    command: str
    trial_run: bool = False
    """Whether it was at the size that shows only that everything runs."""
