"""The figures of a training: from the metrics of its steps, worker by worker, to the history."""

from collections.abc import Mapping
from math import isfinite

import torch
from torch import Tensor

from pipelines.fit_config import FitConfig
from pipelines.models import Figure
from pipelines.pace import speed
from pipelines.session import Session


class Diverged(Exception):
    """A metric is not a number, or too many updates were left out. All workers raise it at the same step."""


SKIPPED, REPLACED = "skipped_updates", "bad_clips"
"""Metrics that are counts, over all workers and steps; the others are means."""


def collect(session: Session) -> None:
    """Move the latest metrics from `local` to `pending`, over all workers. Raises Diverged."""
    if not session.local:
        return
    names, to = list(session.local[0]), {"device": session.device, "dtype": torch.float64}
    rows = [torch.stack([row[name].detach().to(**to) for name in names]) for row in session.local]
    first, sums = session.step - len(rows), _sum_over_workers(torch.stack(rows)).tolist()
    for offset, row in enumerate(sums):
        # What was replaced differs from worker to worker; what was skipped does not.
        figures = {n: value if n == REPLACED else value / _workers() for n, value in zip(names, row, strict=True)}
        _check(session, figures, first + offset)
        session.pending.append(figures)
    session.local.clear()


def summarise(session: Session) -> None:
    """Move `pending` to the history, as means or counts over the steps, and note the speed since the last report.

    Of a mean, what skipped updates made no number is left out.
    """
    for name in session.pending[0]:
        values = [figures[name] for figures in session.pending if isfinite(figures[name])]
        if name not in (SKIPPED, REPLACED):
            session.history += [Figure(session.step, name, sum(values) / len(values))] if values else []
        elif _borne(session.fit, name):
            session.history.append(Figure(session.step, name, sum(values)))
    session.pending.clear()
    taken = torch.tensor(session.pace.take(), dtype=torch.float64, device=session.device)
    seconds, waited, flops = (_sum_over_workers(taken) / _workers()).tolist()
    found = speed(session.fit.batch, seconds, waited, flops, session.peak)
    session.speeds += [Figure(session.step, *each) for each in found.items()]


def latest(session: Session) -> dict[str, float]:
    """Return the figures of the latest step, speeds included; none where nothing was reported after it."""
    figures = (*session.history, *session.speeds)
    return {figure.metric: figure.value for figure in figures if figure.step == session.step}


def _workers() -> int:
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def _sum_over_workers(table: Tensor) -> Tensor:
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(table)
    return table


def _borne(fit: FitConfig, count: str) -> bool:
    """Whether what is counted does not end the run; only then it is in the history."""
    return {SKIPPED: fit.on_nan, REPLACED: fit.on_bad_clip}[count] == "skip"


def _check(session: Session, figures: Mapping[str, float], step: int) -> None:
    """Raise Diverged where a step's figures, mean over the workers, end the run."""
    fit, skipped = session.fit, figures[SKIPPED]
    if not (skipped and _borne(fit, SKIPPED)):
        for name, value in figures.items():
            if not isfinite(value):
                raise Diverged(_explained(session, f"{name} is {value} at step {step}", "set fit.on_nan=skip"))
    elif (total := skipped + _skipped_before(session)) > fit.max_skipped:
        what = f"{total:.0f} updates were left out until step {step}, fit.max_skipped is {fit.max_skipped}"
        raise Diverged(_explained(session, what, "raise that"))


def _skipped_before(session: Session) -> float:
    reported = sum(figure.value for figure in session.history if figure.metric == SKIPPED)
    return reported + sum(figures[SKIPPED] for figures in session.pending)


def _explained(session: Session, what: str, cure: str) -> str:
    kept = f"the checkpoint of step {session.saved} is kept" if session.saved else "there is no checkpoint yet"
    return (
        f"training diverged: {what}; {kept}: {cure} to go on, or begin anew, as another model, with a lower "
        "fit.optimizer.lr or fit.optimizer.clip, or without the clips that cause it"
    )
