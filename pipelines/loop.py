"""The training loop: a step, what is due after it, and the next. It serves training and distillation."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from pipelines.figures import REPLACED, SKIPPED, collect, summarise
from pipelines.loader import prefetched
from pipelines.partition import held
from pipelines.session import Session


class Notice(NamedTuple):
    """What the workers are told from outside, the same for all of them."""

    save: bool = False
    """Whether to write a checkpoint at once."""
    stop: bool = False
    """Whether to end then."""


def nothing() -> None:
    """Do nothing."""


def unheard() -> Notice:
    """Nobody tells anything."""
    return Notice()


class Dues(NamedTuple):
    """What is done now and then, after a step."""

    report: Callable[[], None] = nothing
    """Tell the latest figures."""
    save: Callable[[], None] = nothing
    """Write a checkpoint."""
    validate: Callable[[], None] = nothing
    """Add figures of the averaged weights to the history."""


def run(session: Session, dues: Dues = Dues(), hear: Callable[[], Notice] = unheard) -> None:  # noqa: B008
    """Do the steps that are left, or those until `hear`, which is asked after every step, says stop.

    Raises Diverged where a metric stops being a number, or too many updates were left out.
    """
    fit, pace = session.fit, session.pace
    pace.resume()
    for step, batch in prefetched(session.recipe.batch, session.step, fit.steps):
        pace.arrived()
        advance(session, batch, step)
        notice = hear()
        validates = fit.validation is not None and is_due(session.step, fit.validation.every, fit.steps)
        reports, saves = (is_due(session.step, every, fit.steps) for every in (fit.report_every, fit.checkpoint_every))
        saves = saves or notice.save
        if reports or saves or validates:
            collect(session)  # a device has done its work then, so that the step's time is counted whole
        pace.stepped(session.recipe.flops(batch) if session.peak else 0.0)
        if reports:
            summarise(session)
        if validates:
            dues.validate()
        if reports:
            dues.report()
        if saves:
            dues.save()
        if notice.stop:
            return
        pace.resume()


def advance(session: Session, batch: Any, step: int) -> None:
    """Do one step. Its metrics are the recipe's, those of each engine, and what was skipped or replaced."""
    engines, replaced = session.engines, session.recipe.replaced(batch)
    rates = {name: torch.tensor(engine.rate) for name, engine in engines.items()}
    before = {name: engine.skipped for name, engine in engines.items()}
    metrics = session.recipe.update(engines, session.frozen, batch, step)
    skipped = [engine.skipped - before[name] for name, engine in engines.items()]
    if not skipped[0]:
        session.ema.update(held(session.main), step)
    for number, (name, engine) in enumerate(engines.items()):
        prefix = f"{name}_" if number else ""  # as in `loss` and `fake_loss`
        metrics |= {f"{prefix}gradient_norm": engine.gradient_norm, f"{prefix}lr": rates[name]}
    counts = {SKIPPED: float(sum(skipped)), REPLACED: float(len(replaced))}
    session.local.append(metrics | {name: torch.tensor(count) for name, count in counts.items()})
    session.bad_clips += replaced
    session.step = step + 1


def is_due(done: int, every: int, steps: int) -> bool:
    """Whether something that is done every so many steps, and at the end, is due after `done` steps."""
    return done % every == 0 or done == steps
