"""Short trainings: pure functions of their specs, that learn."""

from pathlib import Path

import pytest
import torch

from equivdm.backbones import backbone_of
from equivdm.study.batches import Batches, conditions_of
from equivdm.study.clips import Clips, build_clips
from equivdm.study.config import TINY, ModelSpec, NoiseSpec, StudentSpec
from equivdm.study.models import make_model
from equivdm.study.noise import Noise
from equivdm.study.training import State, build, rate, train

SPEC = ModelSpec(seed=3, backbone=TINY.backbone, data=TINY.scenes, steps=3, batch=2)
STUDENT = SPEC.model_copy(update={"base": SPEC, "steps": 2, "student": StudentSpec(regression=0.5, ode_steps=2)})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def clips(folder: Path) -> Clips:
    return build_clips(SPEC.data, SPEC.seed, folder)


def test_a_model_and_its_student_are_the_same_bits_twice_and_another_seed_is_another(folder: Path) -> None:
    teacher, again = (make_model(SPEC, None, folder) for _ in range(2))
    assert _equal(teacher, again)
    student, again = (make_model(STUDENT, teacher, folder) for _ in range(2))
    assert _equal(student, again)
    assert not _equal(student, teacher)
    assert not _equal(make_model(SPEC.model_copy(update={"seed": 4}), None, folder), teacher)


def test_a_model_starts_from_its_base(folder: Path, clips: Clips) -> None:
    start = make_model(SPEC, None, folder)
    frozen = SPEC.model_copy(update={"base": SPEC, "lr": 1e-12})
    tuned = make_model(frozen, start, folder)
    assert all(torch.allclose(tuned[name], start[name], atol=1e-6) for name in start)
    with pytest.raises(ValueError, match="give its own"):
        make_model(frozen, None, folder)
    with pytest.raises(ValueError, match="give its own"):
        make_model(SPEC, start, folder)
    fresh = build(SPEC, None, "cpu").state_dict()
    assert not _equal(fresh, start)


def test_training_lowers_the_loss_on_clips_that_it_has_not_seen(tmp_path: Path) -> None:
    """Of four clips it would learn nothing but these four: a new network is the best linear guess already."""
    data = SPEC.data.model_copy(update={"train": 24})
    spec = SPEC.model_copy(update={"data": data, "steps": 120, "lr": 5e-3, "ema_decay": 0.5})
    clips = build_clips(data, spec.seed, tmp_path)
    before, after = (_loss(spec, state, clips) for state in (None, train(spec, clips, None)))
    assert after < 0.97 * before


def test_batches_are_pure_functions_of_their_number_and_show_what_they_are_given(clips: Clips) -> None:
    noise, diffusion = Noise(NoiseSpec(), clips.train, 0), backbone_of(SPEC.backbone).diffusion()
    batches = Batches(clips.train, noise, diffusion, 5, 4, 0.5, "cpu", draws=2)
    one, again, other = batches(3), batches(3), batches(4)
    assert torch.equal(one.noises[1], again.noises[1])
    assert torch.equal(one.times, again.times)
    assert not torch.equal(one.noises[0], one.noises[1])
    assert not torch.equal(one.times, other.times)
    # A pass has each clip once.
    assert {tuple(each.flatten()[:4].tolist()) for each in one.latents} == {
        tuple(clip.latents.flatten()[:4].tolist()) for clip in clips.train
    }
    control = conditions_of(clips.train[:2], [True, False]).control
    assert control is not None
    assert control[0].any()
    assert not control[1].any()


def test_the_learning_rate_rises_and_falls_along_half_a_cosine() -> None:
    spec = SPEC.model_copy(update={"warmup": 4})
    assert [rate(step, 104, spec) for step in (0, 1, 3, 4)] == [0.25, 0.5, 1.0, 1.0]
    assert rate(54, 104, spec) == pytest.approx(0.505)
    assert rate(104, 104, spec) == pytest.approx(0.01)
    assert rate(90, 104, spec.model_copy(update={"schedule": "constant"})) == 1


def _loss(spec: ModelSpec, state: State | None, clips: Clips) -> float:
    network, diffusion = build(spec, state, "cpu"), backbone_of(spec.backbone).diffusion()
    batches = Batches(clips.held_out, Noise(spec.noise, clips.held_out, 0), diffusion, 1, 8, 0.5, "cpu")
    batch = batches(0)
    with torch.no_grad():
        return diffusion.loss(network, batch.latents, batch.noises[0], batch.times, batch.conditions).item()


def _equal(one: State, other: State) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)
