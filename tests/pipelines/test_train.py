"""Training a model on stored clips: continued after kill -9, bitwise; done once; clear about bad requests."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from equivdm.backbones.base import DenoiserModule
from equivdm.config import NoiseConfig, TinyConfig
from equivdm.errors import Claimed, UsageError
from pipelines.claim import ClaimFiles, claimed, training
from pipelines.config import DistillJob, TrainJob
from pipelines.engines import make_plain
from pipelines.fit import run_folder
from pipelines.fit_config import FitConfig, OptimizerConfig
from pipelines.loop import run as run_steps
from pipelines.models import find_model, load_denoiser
from pipelines.session import set_up
from pipelines.settings import SelectConfig, StoreConfig
from pipelines.store import open_store
from pipelines.train import Denoising, make_recipe, run, train_key
from tests.pipelines.fit_cases import fit_config, train_job, write_clips

CPU = torch.device("cpu")

DRIVER = "import sys; from pipelines.config import {kind}; from pipelines.{job} import run\n" + (
    "run({kind}.model_validate_json(sys.argv[1]))"
)


def prepared(root: Path, fit: FitConfig) -> tuple[TrainJob, str]:
    """Write the clips and return a job on them with its key."""
    job = train_job(str(root), fit)
    return job, train_key(job, write_clips(open_store(job.store)))


@contextmanager
def with_a_checkpoint(
    job: TrainJob | DistillJob, key: str, log: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the job in a process of its own; the block begins when a checkpoint is registered, and kills it at its end.

    `log` is a file's descriptor for what it says.
    """
    snapshot = Path(run_folder(open_store(job.store), key)) / "checkpoint_manager_snapshot.json"
    code = DRIVER.format(kind=type(job).__name__, job=job.job)
    command = [sys.executable, "-c", code, job.model_dump_json()]
    driver = subprocess.Popen(command, start_new_session=True, stderr=log)
    try:
        while not snapshot.exists():
            assert driver.poll() is None, "the job ended before its first checkpoint"
            time.sleep(0.02)
        yield driver
    finally:
        driver.kill()
        driver.wait()


def kill_midway(job: TrainJob | DistillJob, key: str) -> None:
    """Run the job in a process of its own and kill that as soon as a checkpoint is registered."""
    with with_a_checkpoint(job, key):
        pass


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(1800)  # three trainings and a start of Ray
@pytest.mark.usefixtures("local_ray")
def test_a_killed_job_continues_bitwise_and_is_then_done(tmp_path: Path) -> None:
    fit = fit_config(2, steps=40, report_every=20, checkpoint_every=7)
    job, key = prepared(tmp_path / "killed", fit)
    kill_midway(job, key)
    assert find_model(open_store(job.store), key) is None
    other, same_key = prepared(tmp_path / "whole", fit)
    summary, whole = run(job), run(other)
    assert summary.fresh
    assert summary.model.steps == 40
    assert not Path(run_folder(open_store(job.store), key)).exists()
    assert same_key == key
    assert (summary.model.weights, summary.model.history) == (whole.model.weights, whole.model.history)

    again = run(job)
    assert not again.fresh
    assert again.seconds < 0.2 * whole.seconds
    assert again.model == summary.model


def test_the_recipe_learns_without_ray(tmp_path: Path) -> None:
    fit = fit_config(steps=30, report_every=10, optimizer=OptimizerConfig(lr=1e-2, warmup=1))
    job = train_job(str(tmp_path), fit, text_dropout=0.0, control_dropout=0.0)
    store = open_store(job.store)
    keys = write_clips(store, count=2)
    session = set_up(make_recipe(job, store, keys, CPU, 0, 1), fit, CPU, make_plain)
    run_steps(session)
    losses = [figure.value for figure in session.history if figure.is_loss]
    assert len(losses) == 3
    assert losses[-1] < 0.9 * losses[0], losses


@pytest.mark.parametrize("objective", ["epsilon", "v", "x0"])
def test_every_objective_is_learned(tmp_path: Path, objective: str) -> None:
    fit = fit_config(steps=24, report_every=8, optimizer=OptimizerConfig(lr=5e-3, warmup=1))
    job = train_job(str(tmp_path), fit, objective=objective)
    store = open_store(job.store)
    recipe = make_recipe(job, store, write_clips(store, count=2), CPU, 0, 1)
    session = set_up(recipe, fit, CPU, make_plain)
    before = mean_loss(recipe, session.main)
    run_steps(session)
    assert mean_loss(recipe, session.main) < 0.9 * before


@torch.no_grad()
def mean_loss(recipe: Denoising, denoiser: DenoiserModule) -> float:
    """Over eight batches that are always the same."""
    batches = [recipe.batch(100 + number) for number in range(8)]
    losses = [recipe.diffusion.loss(denoiser, b.latents, b.noises[0], b.times, b.conditions) for b in batches]
    return torch.stack(losses).mean().item()


def test_micro_batches_change_rounding_only(tmp_path: Path) -> None:
    keys = write_clips(open_store(StoreConfig(root=str(tmp_path))))
    histories = []
    for accumulate in (1, 4):
        fit = fit_config(steps=8, accumulate=accumulate)
        job = train_job(str(tmp_path), fit)
        session = set_up(make_recipe(job, open_store(job.store), keys, CPU, 0, 1), fit, CPU, make_plain)
        run_steps(session)
        histories.append(session.history)
    one, four = ([figure.value for figure in history] for history in histories)
    assert four == pytest.approx(one, rel=1e-3)
    assert [f[:2] for f in histories[0]] == [f[:2] for f in histories[1]]


def test_clips_of_several_sizes_train_together(tmp_path: Path) -> None:
    store = open_store(StoreConfig(root=str(tmp_path)))
    keys = write_clips(store, 4) + write_clips(store, 2, pixels=32, first=4)
    histories = []
    for accumulate in (1, 2):
        fit = fit_config(steps=6, report_every=1, accumulate=accumulate)
        recipe = make_recipe(train_job(str(tmp_path), fit), store, keys, CPU, 0, 1)
        assert {recipe.batch(step).latents.shape[-1] for step in range(6)} == {8, 16}
        session = set_up(recipe, fit, CPU, make_plain)
        run_steps(session)
        histories.append([figure.value for figure in session.history])
    assert histories[1] == pytest.approx(histories[0], rel=1e-3)


def test_times_are_shifted_as_those_of_the_sampler(tmp_path: Path) -> None:
    """Stable Diffusion 3's shift: t becomes 3 t / (1 + 2 t). Nothing else of a batch depends on it."""
    store, jobs = open_store(StoreConfig(root=str(tmp_path))), [train_job(str(tmp_path), fit_config(1))]
    keys, jobs = write_clips(store), [*jobs, jobs[0].model_copy(update={"shift": 3.0})]
    plain, shifted = (make_recipe(job, store, keys, CPU, 0, 1).batch(2) for job in jobs)
    torch.testing.assert_close(shifted.times, 3 * plain.times / (1 + 2 * plain.times))
    assert torch.equal(shifted.noises[0], plain.noises[0])
    assert torch.equal(shifted.latents, plain.latents)


def test_activations_that_are_computed_again_change_no_figure(tmp_path: Path) -> None:
    keys = write_clips(open_store(StoreConfig(root=str(tmp_path))))
    histories = []
    for recompute in (False, True):
        fit = fit_config(steps=4, checkpoint_activations=recompute)
        job = train_job(str(tmp_path), fit)
        recipe = make_recipe(job, open_store(job.store), keys, CPU, 0, 1)
        session = set_up(recipe, fit, CPU, make_plain)
        assert session.main.recompute == recompute
        run_steps(session)
        histories.append(session.history)
    assert histories[0] == histories[1]


def test_the_key_names_what_decides_the_weights() -> None:
    job = train_job("here", fit_config(1))
    key = train_key(job, ["a", "b"])
    same = [
        train_job("there", fit_config(1), objective="flow"),  # the backbone's own
        train_job(
            "there", fit_config(2, report_every=5, checkpoint_every=9, accumulate=2, checkpoint_activations=True)
        ),
        train_job("there", fit_config(1, on_nan="skip", max_skipped=1, on_bad_clip="skip")),
    ]
    other = [
        train_job("here", fit_config(1, seed=1)),
        train_job("here", fit_config(1), noise=NoiseConfig(kind="independent")),
        train_job("here", fit_config(1), text_dropout=0.2),
        train_job("here", fit_config(1), shift=2.0),
        train_job("here", fit_config(1), objective="v"),
        train_job("here", fit_config(1), objective="epsilon"),
        train_job("here", fit_config(1), name="other"),
        train_job("here", fit_config(1, optimizer=OptimizerConfig(warmup=3, schedule="cosine"))),
        train_job("here", fit_config(1, optimizer=OptimizerConfig(warmup=3, schedule="cosine", lr_floor=0.1))),
    ]
    assert {train_key(each, ["b", "a"]) for each in same} == {key}
    keys = {train_key(each, ["a", "b"]) for each in other} | {train_key(job, ["a"])}
    assert len(keys) == 10
    assert key not in keys


def test_requests_that_cannot_work_say_so_before_anything_starts(tmp_path: Path) -> None:
    empty = train_job(str(tmp_path / "empty"), fit_config())
    with pytest.raises(UsageError, match="selects none of 0 finished clips"):
        run(empty)
    uneven, _ = prepared(tmp_path / "uneven", fit_config(3))
    with pytest.raises(UsageError, match="got 4 clips for 3 workers"):
        run(uneven)
    with pytest.raises(UsageError, match="got 3 micro-batches for the 2 clips of a worker"):
        run(train_job(str(tmp_path / "uneven"), fit_config(2, accumulate=3)))
    write_clips(open_store(StoreConfig(root=str(tmp_path / "uneven"))), fingerprint="e" * 64)
    with pytest.raises(UsageError, match="2 preprocess configs"):
        run(uneven)
    wide = train_job(str(tmp_path / "wide"), fit_config()).model_copy(update={"backbone": TinyConfig(patch=6)})
    write_clips(open_store(wide.store))
    with pytest.raises(UsageError, match="got a latent grid of 8x8, wanted multiples of the patch"):
        run(wide)
    none = train_job(str(tmp_path / "uneven"), fit_config(), data=SelectConfig(include=("other/*",), clips="e"))
    with pytest.raises(UsageError, match=r"include=\['other/\*'\]"):
        run(none)


def test_a_model_that_another_run_trains_is_left_to_it(tmp_path: Path) -> None:
    job, key = prepared(tmp_path, fit_config())
    other = claimed(open_store(job.store), training(key), "train", beat_s=0.2)
    with other, pytest.raises(Claimed, match=rf"train equivdm: .*process {os.getpid()} on"):
        run(job)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(600)
def test_a_training_that_was_taken_over_ends_and_records_nothing(tmp_path: Path) -> None:
    job, key = prepared(tmp_path, fit_config(2, steps=10**6, checkpoint_every=7))
    files = ClaimFiles(open_store(job.store), training(key))
    with (tmp_path / "log").open("w") as log, with_a_checkpoint(job, key, log.fileno()) as driver:
        first = files.read(1)
        assert first is not None
        assert first.pid == driver.pid
        files.create(2, first._replace(claim="another", host="elsewhere"))
        assert driver.wait(120) == 1
    said = (tmp_path / "log").read_text()
    assert f"another one went on in its place (process {first.pid} on elsewhere" in said
    assert find_model(open_store(job.store), key) is None
    assert files.read(2) is not None


def test_a_finished_model_is_not_trained_again(tmp_path: Path) -> None:
    from tests.pipelines.test_models import finish

    job, key = prepared(tmp_path, fit_config())
    record = finish(open_store(job.store), key, job)
    summary = run(job)
    assert (summary.fresh, summary.model) == (False, record)
    assert load_denoiser(open_store(job.store), job.name)[2] == record
