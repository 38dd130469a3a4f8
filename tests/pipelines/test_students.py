"""A student says how it is sampled, in the store and beside its weights, and is sampled in no other way."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from equivdm.backbones import backbone_of
from equivdm.config import NoiseConfig, SamplerConfig
from equivdm.errors import UsageError
from pipelines import distill, render
from pipelines.audit import audit
from pipelines.config import DistillJob, RenderJob
from pipelines.distill_config import RegressionConfig
from pipelines.fit_config import ValidateConfig
from pipelines.models import ModelRecord, load_weights, model_files, newest_model, register_model, save_weights
from pipelines.rendering.identity import check_solver, noises_of
from pipelines.settings import SelectConfig, StoreConfig
from pipelines.store import Store
from pipelines.students import SAMPLING, sampling_of
from pipelines.validation import plan_validation
from tests.pipelines.fit_cases import BACKBONE, distill_job, fit_config, train_job
from tests.pipelines.test_distill import with_teacher
from tests.pipelines.test_models import finish

FEW = SamplerConfig(kind="renoise", steps=3, shift=2.0)


def few_steps(root: Path, **changes: object) -> DistillJob:
    """A job for a student of three steps, whose noise is independent between them."""
    return distill_job(str(root), fit_config(), student_steps=3, shift=2.0, renoise="independent", **changes)


def with_student(root: Path) -> tuple[Store, DistillJob, ModelRecord]:
    """A store with a teacher, and a student that has its weights still."""
    store, keys, teacher = with_teacher(root, spread=0.1)
    job = few_steps(root)
    key, network = distill.distill_key(job, teacher, keys), load_weights(store, teacher)
    named = save_weights(store, key, network.state_dict(), network, {SAMPLING: sampling_of(job, teacher)})
    facts = {"weights": named, "steps": 0, "history": (), "run": "run", "seconds": 1.0}
    return store, job, register_model(store, job, key, teacher.key, **facts)


def test_how_it_is_sampled_stands_in_the_store_and_beside_the_weights(tmp_path: Path) -> None:
    store, job, student = with_student(tmp_path)
    assert (student.sampler, student.noise) == (FEW, NoiseConfig())
    assert student.renoise == NoiseConfig(kind="independent")
    assert json.loads((tmp_path / student.folder / SAMPLING).read_text()) == {
        "backbone": "tiny",
        "objective": "flow",
        "noise": {"kind": "warped", "beta": 0.9},
        "renoise": {"kind": "independent", "beta": 0.9},
        "sampler": {"kind": "renoise", "steps": 3, "shift": 2.0, "guidance": 1.0},
        "teacher": "teacher",
    }
    row = {"folder": student.folder, "weights": student.weights}
    assert {Path(path).name for path, _ in model_files(store, row)} == {"SHA256SUMS", "model.safetensors", SAMPLING}
    assert audit(job).ok
    (tmp_path / student.folder / SAMPLING).write_text("{}")
    assert not audit(job).ok


def test_what_comes_between_its_steps_is_what_its_teacher_was_trained_on(tmp_path: Path) -> None:
    """Whatever its own noise is, and whatever noise it is rendered from: at no other is the teacher a score."""
    store, _, teacher = with_teacher(tmp_path, noise=NoiseConfig(beta=0.5))
    own, other = NoiseConfig(kind="independent", beta=0.2), NoiseConfig(beta=0.7)
    few = {"student_steps": 3, "noise": own}
    kinds = [
        (None, teacher.noise),
        ("warped", teacher.noise),
        ("independent", NoiseConfig(kind="independent", beta=0.5)),
    ]
    for number, (kind, wanted) in enumerate(kinds):
        job = distill_job(str(tmp_path), fit_config(), renoise=kind, name=f"student{number}", **few)
        student = finish(store, f"k{number}", job, parent=teacher.key)
        assert (student.noise, student.renoise) == (own, wanted)
        assert json.loads(sampling_of(job, teacher))["renoise"] == wanted.model_dump()
        for noise in (None, other):
            render_job = RenderJob(store=job.store, model=job.name, noise=noise)
            assert noises_of(render_job, student) == [noise or own, wanted, wanted]


@pytest.mark.parametrize(
    ("sampler", "complaint"),
    [
        ({"kind": "euler", "steps": 3, "shift": 2.0}, "got kind=euler, but student was distilled for kind=renoise"),
        ({"kind": "renoise", "steps": 4, "shift": 2.0}, "got steps=4, but student was distilled for steps=3"),
        ({"kind": "renoise", "steps": 3}, "got shift=1.0, but student was distilled for shift=2.0"),
        (
            {"kind": "renoise", "steps": 1, "shift": 2.0, "guidance": 5.0},
            "got steps=1, guidance=5.0, but student was distilled for steps=3, guidance=1.0",
        ),
    ],
)
def test_another_sampler_is_refused(sampler: dict[str, object], complaint: str, tmp_path: Path) -> None:
    store, job, _ = with_student(tmp_path)
    own = RenderJob(store=job.store, model="student", noise=NoiseConfig(kind="independent"))
    model = newest_model(store, "student")
    check_solver(own, model)  # noise is free
    check_solver(own.model_copy(update={"sampler": FEW}), model)
    teacher = RenderJob(store=job.store, model="equivdm", sampler=SamplerConfig(steps=3))
    check_solver(teacher, newest_model(store, "equivdm"))
    with pytest.raises(UsageError, match=f"^sampler: {complaint}: leave sampler out, or distil another$"):
        render.run(RenderJob(store=job.store, model="student", sampler=SamplerConfig.model_validate(sampler)))


def test_it_is_validated_by_its_own_sampler(tmp_path: Path) -> None:
    """What comes between its steps is part of it: other noise there gives other videos, the same noise the same."""
    store, job, student = with_student(tmp_path)
    backbone, figures = backbone_of(BACKBONE), []
    validate = ValidateConfig(data=SelectConfig(include=("video_1.mp4",)))
    job = job.model_copy(update={"fit": fit_config(validation=validate)})
    for renoise in (student.renoise, student.renoise, student.noise):
        validation = plan_validation(
            job,
            store,
            "key",
            build=partial(backbone.open_denoiser, seed=0),
            backbone=BACKBONE,
            diffusion=backbone.diffusion(),
            noise=student.noise,
            renoise=renoise,
            sampler=student.sampler,
            has_loss=False,
        )
        assert validation is not None
        figures.append(validation(load_weights(store, student).state_dict(), 1, torch.device("cpu")))
    assert figures[0] == figures[1] != figures[2]
    assert all(np.isfinite(value) for value in figures[0].values())


def test_no_other_model_is_sampled_as_a_student(tmp_path: Path) -> None:
    store, _, _ = with_teacher(tmp_path)
    job = RenderJob(store=StoreConfig(root=str(tmp_path)), model="equivdm", sampler=FEW)
    with pytest.raises(UsageError, match=r"^sampler: got kind=renoise, but equivdm is no student: give a solver$"):
        check_solver(job, newest_model(store, "equivdm"))
    validate = ValidateConfig(data=SelectConfig(), sampler=FEW)
    with pytest.raises(ValueError, match=r"got kind=renoise, .* give a solver, or leave it out"):
        train_job(str(tmp_path), fit_config(validation=validate))


def test_settings_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    validate = ValidateConfig(data=SelectConfig(), sampler=SamplerConfig(steps=8))
    with pytest.raises(ValueError, match="a student is sampled as it was distilled: leave it out"):
        distill_job(str(tmp_path), fit_config(validation=validate))
    with pytest.raises(ValueError, match="regression: got student_steps=3, wanted 1"):
        few_steps(tmp_path, regression=RegressionConfig())


def test_a_student_is_no_teacher(tmp_path: Path) -> None:
    store, job, _ = with_student(tmp_path)
    again = job.model_copy(update={"teacher": "student", "name": "second"})
    with pytest.raises(UsageError, match="teacher: got student, which is a student itself"):
        distill.run(again)
    assert newest_model(store, "student").kind == "distill"
