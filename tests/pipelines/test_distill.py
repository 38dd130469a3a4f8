"""Distilling a teacher: the student moves towards it, the teacher stays, and the job is done once."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from equivdm.config import LoraConfig, NoiseConfig
from equivdm.errors import UsageError
from equivdm.process import shift_times
from equivdm.seeds import derive_seed
from equivdm.text import token_rows
from pipelines.clips import read_clips
from pipelines.distill import distill_key, run, start_of
from pipelines.distill_config import GanConfig, RegressionConfig
from pipelines.distill_recipe import make_recipe
from pipelines.draw import draw_noise
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


def with_teacher(root: Path, spread: float = 0.0, **changes: object) -> tuple[Store, list[str], ModelRecord]:
    """A store with clips and a teacher of random weights."""
    job = train_job(str(root), fit_config(), **changes)
    store = open_store(job.store)
    return store, write_clips(store), finish(store, "teacher", job, spread=spread)


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


def test_the_students_own_steps_are_drawn_by_batch_and_its_noises_are_of_the_clips(tmp_path: Path) -> None:
    """Its input is of its own noise, all that is added to its videos of the teacher's, to the bit."""
    store, keys, teacher = with_teacher(tmp_path, noise=NoiseConfig(beta=0.5))
    independent = NoiseConfig(kind="independent")
    job = distill_job(str(tmp_path), fit_config(batch=1), student_steps=3, noise=independent, shift=5.0)
    recipe = make_recipe(job, store, teacher, keys, CPU, 0, 1)
    batches = [batch for step in range(6) for batch in recipe.batch(step)]
    assert {len(batch.noises) for batch in batches} == {2, 3, 4}
    for number, batch in enumerate(batches):
        key = recipe.loader.key(number, 0)
        plan = read_clips(store, [key], ("plan",))[0]["plan"]
        draws = [*range(len(batch.noises) - 1), 3]  # the last one is the re-noising, however many steps there are
        for noise, draw in zip(batch.noises, draws, strict=True):
            seed = derive_seed(job.fit.seed, "noise", number, 0, key, draw)
            wanted = draw_noise(plan, tuple(noise.shape[1:]), teacher.noise if draw else independent, seed)
            assert np.array_equal(noise[0], wanted)
        assert torch.equal(batch.times, shift_times(recipe.loader.batch(number).times, 5.0))


def test_two_workers_take_the_same_steps(tmp_path: Path) -> None:
    """Under ZeRO 3 they must call their networks alike."""
    store, keys, teacher = with_teacher(tmp_path)
    job = distill_job(str(tmp_path), fit_config(2, batch=2), student_steps=4)
    recipes = [make_recipe(job, store, teacher, keys, CPU, rank, 2) for rank in (0, 1)]
    counts = [[len(batch.noises) for step in range(6) for batch in recipe.batch(step)] for recipe in recipes]
    assert counts[0] == counts[1]
    assert set(counts[0]) == {2, 3, 4, 5}


def test_the_empty_caption_is_there_for_guidance_alone(tmp_path: Path) -> None:
    store, keys, teacher = with_teacher(tmp_path)
    plain, guided = (
        make_recipe(distill_job(str(tmp_path), fit_config(), guidance=w), store, teacher, keys, CPU, 0, 1).batch(0)[0]
        for w in (1.0, 4.0)
    )
    assert plain.empty is None
    assert guided.empty is not None
    assert torch.equal(guided.empty.text[0], torch.from_numpy(token_rows([""])[0]))
    assert torch.equal(guided.empty.control, plain.conditions.control)
    parts = guided.split(2)
    assert [len(part.empty.text) for part in parts] == [2, 2]


EVERYTHING = {"guidance": 3.0, "fake_lora": LoraConfig(rank=2), "gan": GanConfig(width=8)}


def test_a_step_with_all_of_it(tmp_path: Path) -> None:
    """Student, fake score and head move; teacher and base stay. The loss is the sum of its terms."""
    store, keys, teacher = with_teacher(tmp_path, spread=0.1)
    fit = fit_config(steps=2, report_every=1, batch=2)
    regression = RegressionConfig(weight=0.5, steps=2)
    job = distill_job(str(tmp_path), fit, **EVERYTHING, regression=regression)
    session = set_up(make_recipe(job, store, teacher, keys, CPU, 0, 1), fit, CPU, make_plain)
    assert list(session.engines) == ["student", "fake", "head"]
    fake = session.engines["fake"].module
    frozen = {name: each.clone() for name, each in fake.state_dict().items() if "lora" not in name}
    before = {name: [p.clone() for p in engine.module.parameters()] for name, engine in session.engines.items()}
    run_steps(session)
    for name, engine in session.engines.items():
        assert any(not torch.equal(*pair) for pair in zip(before[name], engine.module.parameters(), strict=True))
    assert all(torch.equal(value, frozen[name]) for name, value in fake.state_dict().items() if name in frozen)
    # What the student's update left with its judges would be added to their next one.
    assert all(p.grad is None for name in ("fake", "head") for p in session.engines[name].module.parameters())
    first = {figure.metric: figure.value for figure in session.history if figure.step == 1}
    assert first["loss"] == pytest.approx(
        first["matching_loss"] + 0.03 * first["gan_loss"] + 0.5 * first["regression_loss"], rel=1e-5
    )
    assert {"fake_loss", "head_loss", "head_gradient_norm", "head_lr"} <= set(first)


def test_the_flops_of_a_step_are_the_passes_that_it_makes(tmp_path: Path) -> None:
    """Counted as they are called: forward once, backward once through what is frozen, twice through what is trained."""
    store, keys, teacher = with_teacher(tmp_path, spread=0.1)
    fit = fit_config(steps=1, batch=2)
    for options in ({}, {**EVERYTHING, "student_steps": 3}, {"guidance": 2.0, "regression": RegressionConfig(steps=3)}):
        recipe = make_recipe(distill_job(str(tmp_path), fit, **options), store, teacher, keys, CPU, 0, 1)
        batch = recipe.batch(0)
        session = set_up(recipe, fit, CPU, make_plain)
        with FlopCounterMode(display=False) as counter:
            recipe.update(session.engines, session.frozen, batch, 0)
        assert recipe.flops(batch) == pytest.approx(counter.get_total_flops(), rel=0.08), options


def test_what_changes_a_student_changes_its_key(tmp_path: Path) -> None:
    _, keys, teacher = with_teacher(tmp_path)
    changes = [
        {},
        {"noise": NoiseConfig(kind="independent")},
        {"renoise": "independent"},
        {"student_steps": 2},
        {"shift": 3.0},
        {"guidance": 2.0},
        {"fake_lora": LoraConfig()},
        {"gan": GanConfig()},
        {"gan": GanConfig(weight=0.1)},
        {"regression": RegressionConfig()},
    ]
    found = [distill_key(distill_job("here", fit_config(), **each), teacher, keys) for each in changes]
    assert len(set(found)) == len(changes)
    assert found[0] == distill_key(distill_job("here", fit_config(), renoise="warped"), teacher, keys)


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


@pytest.mark.slow
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


def test_a_student_may_go_on_from_another(tmp_path: Path) -> None:
    """It begins with that one's weights, is another model, and no teacher will do as the start."""
    store, keys, teacher = with_teacher(tmp_path)
    earlier = finish(store, "earlier", distill_job(str(tmp_path), fit_config()), parent="teacher", seed=5)
    job = distill_job(str(tmp_path), fit_config(), name="second", start="student")
    assert start_of(job, teacher, store) == earlier
    recipe = make_recipe(job, store, teacher, keys, CPU, 0, 1, earlier)
    session = set_up(recipe, job.fit, CPU, make_plain)
    own, others = (load_weights(store, model).state_dict() for model in (earlier, teacher))
    assert all(torch.equal(found, own[name]) for name, found in session.engines["student"].module.state_dict().items())
    assert all(torch.equal(found, others[name]) for name, found in session.engines["fake"].module.state_dict().items())
    assert distill_key(job, teacher, keys, earlier) != distill_key(job, teacher, keys)
    with pytest.raises(UsageError, match=r"start: got equivdm, which is a train model of .*, wanted a student of"):
        start_of(job.model_copy(update={"start": "equivdm"}), teacher, store)
    with pytest.raises(ValueError, match="start: got 'student', which is the student's own name"):
        distill_job(str(tmp_path), fit_config(), start="student")
