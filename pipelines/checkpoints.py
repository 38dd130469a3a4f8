"""Checkpoints of a training: what is in one, who writes what, and how another run takes it over."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pipelines.models import Figure
from pipelines.partition import share, whole
from pipelines.session import Session

_STATE = "progress.pt"


class Misfit(Exception):
    """A checkpoint cannot be continued with these settings. All workers raise it."""


def save(session: Session, rank: int, world: int) -> None:
    """Write a checkpoint: each worker its part of the engines, the first one what all have alike."""
    import ray.train

    average = whole(session.main, session.ema.state_dict())
    with tempfile.TemporaryDirectory(prefix="equivdm-") as folder:
        for name, engine in session.engines.items():
            engine.save(Path(folder) / name)
        if rank == 0:
            torch.save(_state(session, world) | {"ema": average}, Path(folder) / _STATE)
        checkpoint = ray.train.Checkpoint.from_directory(folder)
        ray.train.report({"step": session.step}, checkpoint=checkpoint)
    session.saved = session.step


def read_state(folder: Path) -> dict[str, Any]:
    """Return what of a checkpoint all workers have alike."""
    return torch.load(folder / _STATE, map_location="cpu", weights_only=True)


def must_reshard(state: Mapping[str, Any], workers: int, zero_stage: int) -> bool:
    """Whether a checkpoint's engines must be converted for these workers. Raises Misfit where they cannot be."""
    before = state["zero_stage"]
    if (before == 0) != (zero_stage == 0):
        raise Misfit(
            f"fit.parallel.zero_stage: got {zero_stage}, but the run was begun with {before}, and only 1, 2 and 3 can "
            f"follow each other: continue with {before}"
        )
    # Without ZeRO every worker has all.
    return before > 0 and (state["workers"], before) != (workers, zero_stage)


def resume(session: Session, state: Mapping[str, Any], folder: Path) -> None:
    """Take over a checkpoint: what all workers have alike, and the engines in `folder`."""
    for name, engine in session.engines.items():
        engine.load(folder / name)
    session.ema.load_state_dict(share(session.main, state["ema"]))
    session.step, session.saved, session.pending = state["step"], state["step"], state["pending"]
    session.history, session.speeds = ([Figure(*each) for each in state[name]] for name in ("history", "speeds"))


def _state(session: Session, world: int) -> dict[str, Any]:
    return {
        "step": session.step,
        "history": [tuple(figure) for figure in session.history],
        "speeds": [tuple(figure) for figure in session.speeds],
        "pending": session.pending,
        "workers": world,
        "zero_stage": session.fit.parallel.zero_stage,
    }
