"""Training on Ray Train and DeepSpeed, seen from the driver: start the workers, show progress, record the model."""

import logging
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from equivdm.errors import EquivdmError, Stopped, UsageError
from pipelines.board import Board
from pipelines.claim import claimed, training
from pipelines.config import DistillJob, TrainJob
from pipelines.fit_config import FitConfig
from pipelines.loader import share
from pipelines.models import Figure, ModelRecord, find_model, register_model
from pipelines.progress import Advance, progress
from pipelines.ray_session import beside_driver, is_embedded, ray_session
from pipelines.record import new_run
from pipelines.room import check_room
from pipelines.session import MakeRecipe
from pipelines.settings import RayConfig, Resources
from pipelines.store import Store
from pipelines.validation import Validation
from pipelines.worker import FitTask, Outcome, train_worker

_POLL_S = 0.5

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainSummary:
    """What a training job did."""

    job: str
    seconds: float
    model: ModelRecord
    fresh: bool
    """Whether this run made the model; False where it was there already."""
    speeds: tuple[Figure, ...] = ()
    """Clips a second and the like, where this run made the model."""

    @property
    def ok(self) -> bool:
        """A training job that returns has its model."""
        return True

    @property
    def figures(self) -> dict[str, float]:
        """The last reported metrics, and the last speed."""
        return {figure.metric: figure.value for figure in (*self.model.history, *self.speeds)}


def fit_model(
    job: TrainJob | DistillJob,
    store: Store,
    key: str,
    make_recipe: MakeRecipe,
    validation: Validation | None = None,
    parent: str | None = None,
    beside: Mapping[str, str] | None = None,
) -> TrainSummary:
    """Train the model of a key unless it is there, and record it. The same call again continues a stopped run.

    `beside` are small files to put beside its weights: text by name.

    Raises UsageError where the job cannot work as given, EquivdmError where workers failed too often, Stopped where
    one of them was told to end, Claimed where another run trains this model.
    """
    started = time.monotonic()
    if record := find_model(store, key):
        return TrainSummary(job.job, time.monotonic() - started, record, fresh=False)
    share(job.fit.batch, 0, job.fit.parallel.workers, job.fit.accumulate)  # before any worker starts
    task = FitTask(key, f"{job.job} {job.name}", store, job.fit, make_recipe, beside, validation)
    with claimed(store, training(key), task.label) as claim:
        if record := find_model(store, key):  # another run has made it meanwhile
            return TrainSummary(job.job, time.monotonic() - started, record, fresh=False)
        with ray_session(job.ray):
            outcome = _made(train(task, job.ray, claim.check), job.fit.steps)
        claim.check()
        record = register_model(
            store,
            job,
            key,
            parent,
            weights=outcome.weights,
            steps=job.fit.steps,
            history=outcome.history,
            run=new_run(),
            seconds=time.monotonic() - started,
        )
    # The checkpoints have served: a model is never trained on, and they are many times its size.
    store.filesystem.rm(run_folder(store, key), recursive=True)
    return TrainSummary(job.job, time.monotonic() - started, record, fresh=True, speeds=outcome.speeds)


def _made(outcome: Outcome, steps: int) -> Outcome:
    """Return what has made a model. Raises UsageError or Stopped as `fit_model` does."""
    if outcome.problem is not None:
        raise UsageError(outcome.problem)
    if outcome.stopped is not None:
        raise Stopped(
            f"a worker was told to end (SIGTERM): saved after step {outcome.stopped} of {steps}; "
            "run the same command to continue"
        )
    return outcome


def run_folder(store: Store, key: str) -> str:
    """Return where Ray Train keeps a run's checkpoints."""
    return store.path("runs", key)


def train(task: FitTask, config: RayConfig, check: Callable[[], object] = list) -> Outcome:
    """Run the workers in the Ray session that is open, with a progress bar; `check` is called all the while.

    What that raises ends them. A KeyboardInterrupt lets them finish the step and save before it is raised again; a
    second one does not wait. Raises UsageError where an embedded Ray has no room for them, EquivdmError where they
    failed too often.
    """
    import ray
    import ray.train
    from ray.train.torch import TorchTrainer

    from pipelines.backend import ListeningTorchConfig

    parallel = task.fit.parallel
    worker = Resources(cpus=parallel.cpus_per_worker, gpus=float(parallel.gpus_per_worker), actors=parallel.workers)
    check_room({"fit.parallel": worker}, config)
    _tune_ray_train(is_embedded(config))
    board = ray.remote(num_cpus=0)(Board).options(scheduling_strategy=beside_driver()).remote()
    trainer = TorchTrainer(
        partial(train_worker, replace(task, board=board)),
        torch_config=ListeningTorchConfig(),
        scaling_config=_scaling(task.fit),
        run_config=_run_config(task),
    )
    with progress(task.label, task.fit.steps) as advance:
        try:
            return _watch(trainer.fit, board, advance, check).return_value
        except ray.train.TrainingFailedError as error:
            raise _explained(error) from error


def _watch(fit: Callable[[], Any], board: Any, advance: Advance, check: Callable[[], object]) -> Any:
    """Run `fit`, show what the board says meanwhile, and ask the workers to stop where the driver is interrupted."""
    import ray

    # In a thread of its own: Ray Train would otherwise take over Ctrl-C, for good.
    pool = ThreadPoolExecutor(1, thread_name_prefix="fit")
    future, ended, seen, named, interrupt = pool.submit(fit), False, 0, 0, None
    try:
        while not ended:
            try:
                ended = bool(wait([future], _POLL_S).done)
                check()
                latest, bad_clips = ray.get([board.latest.remote(), board.bad_clips.remote()])
                seen, named = _show(latest, seen, advance), _name(bad_clips, named)
            except KeyboardInterrupt as told:
                if interrupt or ray.get(board.latest.remote()) is None:
                    raise  # in haste, or before there was anything to keep
                interrupt = told
                board.stop.remote()
        if interrupt:
            raise interrupt
        return future.result()
    finally:
        pool.shutdown(wait=False)


def _show(latest: tuple[int, dict[str, float]] | None, seen: int, advance: Advance) -> int:
    step, figures = latest or (0, {})
    if step > seen:  # after a worker's failure the steps since the last checkpoint come again
        advance(step - seen, **figures)
    return max(step, seen)


def _name(bad_clips: list[str], named: int) -> int:
    for line in bad_clips[named:]:
        logger.warning("%s; another clip stands in", line)
    return len(bad_clips)


def _tune_ray_train(embedded: bool) -> None:
    # The controller registers a checkpoint, and sees the end, when it next polls: every 2 s where nothing is said.
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
    # Starting a worker is importing torch, Ray and DeepSpeed: on a busy machine that can pass the default of 60 s.
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "300")
    if embedded:
        # One machine cannot be taken away from itself, and each helper actor of Ray Train costs 3 s of importing.
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")


def _scaling(fit: FitConfig) -> Any:
    import ray.train

    parallel = fit.parallel
    return ray.train.ScalingConfig(
        num_workers=parallel.workers,
        use_gpu=parallel.gpus_per_worker > 0,
        resources_per_worker={"CPU": parallel.cpus_per_worker, "GPU": parallel.gpus_per_worker},
    )


def _run_config(task: FitTask) -> Any:
    import ray.train

    return ray.train.RunConfig(
        name=task.key,
        storage_path=task.store.path("runs"),
        storage_filesystem=None if task.store.is_local else task.store.arrow_filesystem,
        failure_config=ray.train.FailureConfig(max_failures=task.fit.parallel.max_failures),
        # Two, because the newest may be half written when a machine dies.
        checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
    )


def _explained(error: Exception) -> EquivdmError:
    """Return the cause of a failed run in one line."""
    causes = getattr(error, "worker_failures", None) or {0: getattr(error, "controller_failure", error)}
    cause = next(iter(causes.values()))
    cause = getattr(cause, "cause", None) or cause
    if isinstance(cause, (UsageError, ValueError)):
        return UsageError(str(cause))
    first = (str(cause).strip().splitlines() or ["no message"])[0]
    return EquivdmError(
        f"training stopped: {type(cause).__name__}: {first}; the same command continues from the last checkpoint"
    )
