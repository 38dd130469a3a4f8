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


def unheard() -> Notice:
    """Nobody tells anything."""
    return Notice()


def run(
    session: Session,
    on_report: Callable[[], None],
    on_checkpoint: Callable[[], None],
    hear: Callable[[], Notice] = unheard,
) -> None:
    """Do the steps that are left, or those until `hear`, which is asked after every step, says stop.

    Raises Diverged where a metric stops being a number, or too many updates were left out.
    """
    fit, pace = session.fit, session.pace
    pace.resume()
    for step, batch in prefetched(session.recipe.batch, session.step, fit.steps):
        pace.arrived()
        advance(session, batch, step)
        notice = hear()
        reports, saves = (is_due(session.step, every, fit.steps) for every in (fit.report_every, fit.checkpoint_every))
        saves = saves or notice.save
        if reports or saves:
            collect(session)  # a device has done its work then, so that the step's time is counted whole
        pace.stepped()
        if reports:
            summarise(session)
            on_report()
        if saves:
            on_checkpoint()
        if notice.stop:
            return
        pace.resume()


def advance(session: Session, batch: Any, step: int) -> None:
    """Do one step. Its metrics are the recipe's, those of each engine, and what was skipped or replaced."""
    engines, replaced = session.engines, session.recipe.replaced(batch)
    rates = {name: torch.tensor(engine.rate) for name, engine in engines.items()}
    before = {name: engine.skipped for name, engine in engines.items()}
    metrics = session.recipe.update(engines, batch, step)
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
