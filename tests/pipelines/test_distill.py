"""Distilling a teacher: the student moves towards it, the teacher stays, and the job is done once."""

from pathlib import Path

import pytest
import torch

from equivdm.errors import UsageError
from pipelines.distill import distill_key, run
from pipelines.distill_recipe import make_recipe
from pipelines.engines import make_plain
from pipelines.loop import run as run_steps
from pipelines.models import ModelRecord, load_denoiser, load_weights
from pipelines.pace import speed
from pipelines.session import set_up
from pipelines.store import Store, open_store
from tests.pipelines.fit_cases import distill_job, fit_config, train_job, write_clips
from tests.pipelines.test_models import finish

CPU = torch.device("cpu")

FIGURES = ("loss", "fake_loss", "gradient_norm", "lr", "fake_gradient_norm", "fake_lr")


def with_teacher(root: Path) -> tuple[Store, list[str], ModelRecord]:
    """A store with clips and a teacher of random weights."""
    job = train_job(str(root), fit_config())
    store = open_store(job.store)
    return store, write_clips(store), finish(store, "teacher", job)


def test_a_step_updates_the_fake_score_and_then_the_student(tmp_path: Path) -> None:
    store, keys, teacher = with_teacher(tmp_path)
    fit = fit_config(steps=4, report_every=1)
    job = distill_job(str(tmp_path), fit)
    recipe = make_recipe(job, store, teacher, keys, CPU, 0, 1)
    assert [len(batch.noises) for batch in recipe.batch(0)] == [2, 2, 2]
    later = {number: recipe.loader.batch(number) for number in (3, 4, 5)}
    assert all(torch.equal(a.noises[1], b.noises[1]) for a, b in zip(recipe.batch(1), later.values(), strict=True))
    session = set_up(recipe, fit, CPU, make_plain)
    run_steps(session)
    assert [(f.step, f.metric) for f in session.history] == [(step, name) for step in (1, 2, 3, 4) for name in FIGURES]
    start = load_weights(store, teacher).state_dict()
    for name in ("student", "fake"):
        moved = session.engines[name].module.state_dict()
        assert any(not torch.equal(moved[weight], start[weight]) for weight in start)


def test_the_key_follows_the_teacher(tmp_path: Path) -> None:
    store, keys, teacher = with_teacher(tmp_path)
    job = distill_job(str(tmp_path), fit_config())
    key = distill_key(job, teacher, keys)
    assert key == distill_key(distill_job("elsewhere", fit_config(2)), teacher, keys[::-1])
    assert key == distill_key(distill_job("elsewhere", fit_config(), noise=teacher.noise), teacher, keys)
    other = finish(store, "other", train_job(str(tmp_path), fit_config()), seed=1)
    assert key != distill_key(job, other, keys)


def test_an_unknown_teacher_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"got 'equivdm', but .* holds no model"):
        run(distill_job(str(tmp_path), fit_config()))


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_a_student_on_two_workers(tmp_path: Path) -> None:
    store, _, teacher = with_teacher(tmp_path)
    job = distill_job(str(tmp_path), fit_config(2, steps=4))
    summary = run(job)
    assert summary.fresh
    assert summary.model.parent == teacher.key
    assert tuple(summary.figures) == (*FIGURES, *speed(1, 1.0, 0.0))
    assert tuple({figure.metric: None for figure in summary.model.history}) == FIGURES
    denoiser, _, record = load_denoiser(store, "student")
    assert record == summary.model
    assert (record.sampler.steps, record.backbone, record.noise) == (1, teacher.backbone, teacher.noise)
    start = load_weights(store, teacher).state_dict()
    assert any(not torch.equal(value, start[name]) for name, value in denoiser.state_dict().items())
    assert not run(job).fresh
