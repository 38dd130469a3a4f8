"""The training loop inside a worker: set up, step, report, save, resume."""

import tempfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from equivdm.ema import Ema
from pipelines.engines import Engine, MakeEngine, make_deepspeed
from pipelines.fit_config import FitConfig
from pipelines.loader import prefetched
from pipelines.models import Figure, save_weights
from pipelines.pace import Pace, speed
from pipelines.partition import held, share, whole
from pipelines.reshard import universal
from pipelines.store import Store

_STATE = "progress.pt"


@dataclass(frozen=True)
class Part:
    """A module to train, and its learning rate after warm-up."""

    module: nn.Module
    lr: float
    updates: int = 1
    """Optimizer steps to one step of the recipe."""


class Recipe(Protocol):
    """What is trained, and how. It knows neither Ray nor DeepSpeed."""

    @property
    def parts(self) -> Mapping[str, Part]:
        """The modules that get an engine each; the first is the one that is averaged and exported."""
        ...

    def batch(self, step: int) -> Any:
        """Return what `update` needs for a step, on the CPU. Called in a thread, ahead of time."""
        ...

    def update(self, engines: Mapping[str, Engine], batch: Any, step: int) -> dict[str, Tensor]:
        """Do one step and return its metrics, each a scalar without gradient."""
        ...


MakeRecipe = Callable[[torch.device, int, int], Recipe]
"""(device, rank, number of workers) -> recipe."""


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
    board: Any = None
    """Handle of the actor that takes the figures to the driver."""


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


@dataclass
class Session:
    """A worker's state. `step` to `pending`, the engines and the average make a checkpoint."""

    recipe: Recipe
    fit: FitConfig
    device: torch.device
    engines: Mapping[str, Engine]
    ema: Ema
    step: int = 0
    """Steps done."""
    history: list[Figure] = field(default_factory=list)
    speeds: list[Figure] = field(default_factory=list)
    """As in the outcome."""
    pending: list[dict[str, float]] = field(default_factory=list)
    """Metrics of the steps since the last report, mean over the workers."""
    local: list[dict[str, Tensor]] = field(default_factory=list)
    """Metrics of the latest steps, of this worker alone; they are fetched from the device as late as possible."""
    pace: Pace = field(default_factory=Pace)

    @property
    def main(self) -> nn.Module:
        """The module that is averaged and exported."""
        return next(iter(self.engines.values())).module


class Misfit(Exception):
    """A checkpoint cannot be continued with these settings. All workers raise it."""


class Diverged(Exception):
    """A metric is not a number. All workers raise it at the same step."""


def train_worker(task: FitTask) -> Outcome:
    """Train, from the latest checkpoint if there is one. This is what every worker of Ray Train runs."""
    import ray.train
    import ray.train.torch

    torch.set_num_threads(max(1, int(task.fit.parallel.cpus_per_worker)))
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    try:
        session = begin(task, ray.train.torch.get_device(), rank, world)
        run(session, lambda: report(session, task, rank), lambda: save(session, rank, world))
    except (Misfit, Diverged) as fault:
        # Returned, not raised: Ray Train would try the same again.
        return Outcome(problem=str(fault))
    average = whole(session.main, session.ema.state_dict())
    weights = save_weights(task.store, task.key, average, session.main) if rank == 0 else None
    return Outcome(weights=weights, history=tuple(session.history), speeds=tuple(session.speeds))


def begin(task: FitTask, device: torch.device, rank: int, world: int) -> Session:
    """Return a worker's session: new, or where the latest checkpoint left it. Raises Misfit."""
    import ray.train

    recipe, checkpoint = task.make_recipe(device, rank, world), ray.train.get_checkpoint()
    if checkpoint is None:
        return set_up(recipe, task.fit, device, make_deepspeed)
    with checkpoint.as_directory() as folder:
        state = read_state(Path(folder))
        converts = must_reshard(state, world, task.fit.parallel.zero_stage)
        session = set_up(recipe, task.fit, device, partial(make_deepspeed, universal=converts))
        target = f"runs/{task.key}/universal/{Path(checkpoint.path).name}"
        converted = universal(task.store, target, Path(folder), session.engines)
        with converted if converts else nullcontext(Path(folder)) as engines:
            resume(session, state, engines)
        return session


def set_up(recipe: Recipe, fit: FitConfig, device: torch.device, make_engine: MakeEngine) -> Session:
    """Return a session at step 0."""
    engines = {
        name: make_engine(part.module.to(device), fit, part.lr, part.updates) for name, part in recipe.parts.items()
    }
    ema = Ema(held(next(iter(engines.values())).module), fit.ema)
    return Session(recipe, fit, device, engines, ema)


def run(session: Session, on_report: Callable[[], None], on_checkpoint: Callable[[], None]) -> None:
    """Do the steps that are left. Raises Diverged where a metric stops being a number."""
    fit, pace = session.fit, session.pace
    pace.resume()
    for step, batch in prefetched(session.recipe.batch, session.step, fit.steps):
        pace.arrived()
        advance(session, batch, step)
        reports, saves = (is_due(session.step, every, fit.steps) for every in (fit.report_every, fit.checkpoint_every))
        if reports or saves:
            collect(session)  # a device has done its work then, so that the step's time is counted whole
        pace.stepped()
        if reports:
            summarise(session)
            on_report()
        if saves:
            on_checkpoint()
        pace.resume()


def advance(session: Session, batch: Any, step: int) -> None:
    """Do one step. Its metrics are the recipe's, and gradient norm and learning rate of each engine."""
    rates = [torch.tensor(engine.rate) for engine in session.engines.values()]
    metrics = session.recipe.update(session.engines, batch, step)
    session.ema.update(held(session.main), step)
    for number, (name, engine) in enumerate(session.engines.items()):
        prefix = f"{name}_" if number else ""  # as in `loss` and `fake_loss`
        metrics |= {f"{prefix}gradient_norm": engine.gradient_norm, f"{prefix}lr": rates[number]}
    session.local.append(metrics)
    session.step = step + 1


def is_due(done: int, every: int, steps: int) -> bool:
    """Whether something that is done every so many steps, and at the end, is due after `done` steps."""
    return done % every == 0 or done == steps


def collect(session: Session) -> None:
    """Move the latest metrics from `local` to `pending`, as means over the workers. Raises Diverged."""
    if not session.local:
        return
    names, to = list(session.local[0]), {"device": session.device, "dtype": torch.float64}
    rows = [torch.stack([row[name].detach().to(**to) for name in names]) for row in session.local]
    first = session.step - len(rows)
    for offset, row in enumerate(_mean_over_workers(torch.stack(rows)).tolist()):
        figures = dict(zip(names, row, strict=True))
        _check(figures, first + offset)
        session.pending.append(figures)
    session.local.clear()


def _mean_over_workers(table: Tensor) -> Tensor:
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(table)
        table /= torch.distributed.get_world_size()
    return table


def _check(figures: Mapping[str, float], step: int) -> None:
    for name, value in figures.items():
        if not torch.tensor(value).isfinite():
            raise Diverged(
                f"training diverged: {name} is {value} at step {step}; lower fit.optimizer.lr or fit.optimizer.clip, "
                "or look at the clips"
            )


def summarise(session: Session) -> None:
    """Move `pending` to the history, as means over the steps, and note the speed since the last report."""
    for name in session.pending[0]:
        mean = sum(figures[name] for figures in session.pending) / len(session.pending)
        session.history.append(Figure(session.step, name, mean))
    session.pending.clear()
    means = _mean_over_workers(torch.tensor(session.pace.take(), dtype=torch.float64, device=session.device))
    seconds, waited = means.tolist()
    session.speeds += [Figure(session.step, *each) for each in speed(session.fit.batch, seconds, waited).items()]


def report(session: Session, task: FitTask, rank: int) -> None:
    """Tell the driver the latest figures."""
    if rank == 0 and task.board is not None:
        figures = (figure for figure in (*session.history, *session.speeds) if figure.step == session.step)
        latest = {figure.metric: figure.value for figure in figures}
        task.board.tell.remote(session.step, latest)


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
    session.step, session.pending = state["step"], state["pending"]
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
