"""A worker of a training on Ray Train: begin or take over, run the loop, hand the model on."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pipelines.checkpoints import Misfit, must_reshard, read_state, resume, save
from pipelines.data_only import naming
from pipelines.engines import make_deepspeed
from pipelines.figures import Diverged, latest
from pipelines.fit_config import FitConfig
from pipelines.frozen import freeze_deepspeed
from pipelines.loop import Dues, run
from pipelines.models import Figure, save_weights
from pipelines.notices import Ears
from pipelines.partition import whole
from pipelines.reshard import universal
from pipelines.session import MakeRecipe, Session, set_up
from pipelines.store import Store
from pipelines.validation import Validation


@dataclass(frozen=True)
class FitTask:
    """What the workers of a job get."""

    key: str
    """Key of the model to come. It names the run, so that the same job continues it."""
    label: str
    """For people."""
    store: Store
    fit: FitConfig
    make_recipe: MakeRecipe
    beside: Mapping[str, str] | None = None
    """Text of small files to put beside the weights, by name."""
    validation: Validation | None = None
    """What is done every so many steps with the averaged weights."""
    board: Any = None
    """Handle of the actor between the workers and the driver."""


@dataclass(frozen=True)
class Outcome:
    """What the workers come to."""

    weights: str | None = None
    """sha256 of the exported weights; None from workers other than the first."""
    history: tuple[Figure, ...] = ()
    speeds: tuple[Figure, ...] = field(default=(), compare=False)
    """As the history, by `pipelines.pace`: no two runs have them alike."""
    problem: str | None = None
    """Why the training cannot go on, where trying again cannot help."""
    stopped: int | None = None
    """Steps of the checkpoint with which it ended early, because it was told to."""


def train_worker(task: FitTask) -> Outcome:
    """Train, from the latest checkpoint if there is one. This is what every worker of Ray Train runs."""
    import ray.train
    import ray.train.torch

    torch.set_num_threads(max(1, int(task.fit.parallel.cpus_per_worker)))
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    try:
        session = begin(task, ray.train.torch.get_device(), rank, world)
        report(session, task, rank)
        dues = Dues(
            report=lambda: report(session, task, rank),
            save=lambda: save(session, rank, world),
            validate=lambda: validate(session, task.validation, rank),
        )
        run(session, dues, Ears(task.board, session.device, rank).hear)
    except (Misfit, Diverged) as fault:
        # Returned, not raised: Ray Train would try the same again.
        return Outcome(problem=str(fault))
    if session.step < task.fit.steps:
        return Outcome(stopped=session.step)
    average = whole(session.main, session.ema.state_dict())
    weights = save_weights(task.store, task.key, average, session.main, task.beside) if rank == 0 else None
    return Outcome(weights=weights, history=tuple(session.history), speeds=tuple(session.speeds))


def begin(task: FitTask, device: torch.device, rank: int, world: int) -> Session:
    """Return a worker's session: new, or where the latest checkpoint left it.

    Raises Misfit for settings that do not fit it, UsageError for one that is more than data.
    """
    import ray.train

    recipe, checkpoint = task.make_recipe(device, rank, world), ray.train.get_checkpoint()
    if checkpoint is None:
        return set_up(recipe, task.fit, device, make_deepspeed, freeze_deepspeed)
    with naming(checkpoint.path), checkpoint.as_directory() as folder:
        state = read_state(Path(folder))
        converts = must_reshard(state, world, task.fit.parallel.zero_stage)
        make_engine = partial(make_deepspeed, universal=converts)
        session = set_up(recipe, task.fit, device, make_engine, freeze_deepspeed)
        target = f"runs/{task.key}/universal/{Path(checkpoint.path).name}"
        converted = universal(task.store, target, Path(folder), session.engines)
        with converted if converts else nullcontext(Path(folder)) as engines:
            resume(session, state, engines)
        return session


def validate(session: Session, validation: Validation | None, rank: int) -> None:
    """Add the figures of a validation to the history, which the first worker keeps. Every worker must call it."""
    if validation is None:
        return
    average = whole(session.main, session.ema.state_dict())
    if rank == 0:
        found = validation(average, session.step, session.device)
        session.history += [Figure(session.step, *each) for each in found.items()]
    if torch.distributed.is_initialized():
        torch.distributed.barrier()  # here, where nobody's seconds count


def report(session: Session, task: FitTask, rank: int) -> None:
    """Tell the driver how far the training is, the latest figures, and which clips this worker replaced."""
    if rank == 0:
        task.board.tell.remote(session.step, latest(session))
    if session.bad_clips:
        task.board.tell_bad_clips.remote(list(dict.fromkeys(session.bad_clips)))
        session.bad_clips.clear()
