"""One-step students by distribution matching, with the project's own losses."""

from copy import deepcopy

import torch

from equivdm.backbones import backbone_of
from equivdm.backbones.base import DenoiserModule
from equivdm.config import SamplerConfig
from equivdm.distillation.losses import fake_loss, matching_loss, regression_loss
from equivdm.distillation.student import generate
from equivdm.distillation.teacher import Teacher
from equivdm.ema import Ema
from equivdm.seeds import derive_seed
from equivdm.study.batches import Batch, Batches
from equivdm.study.clips import Clips
from equivdm.study.config import ModelSpec, StudentSpec
from equivdm.study.noise import Noise
from equivdm.study.training import Learner, State, build


def distil(spec: ModelSpec, clips: Clips, start: State, device: str = "cpu") -> State:
    """Return the averaged weights of a one-step student.

    An update is `fake_updates` of the fake score and one of the student, each on its own batch; all noise, also that of
    the re-noising, is of the law of the spec.

    Args:
        spec: the model, with a `student`.
        clips: of its data and seed.
        start: weights of its `base`, the teacher, which student and fake score start from too.
        device: where to train.

    Raises:
        ValueError: where the spec has no student.
    """
    if spec.student is None:
        raise ValueError("student: got a spec of no student, wanted one with its settings")
    own, diffusion = spec.student, backbone_of(spec.backbone).diffusion()
    noise, seed = Noise(spec.noise, clips.train, spec.seed), derive_seed(spec.seed, "distilling")
    batches = Batches(
        clips.train, noise, diffusion, seed, spec.batch, spec.control_share, device, draws=2, shift=own.shift
    )
    network = build(spec, start, device).requires_grad_(False).eval()
    teacher = Teacher(network, network, diffusion)
    student, fake = (deepcopy(network).requires_grad_(True).train() for _ in range(2))
    student_learner = Learner(student, spec.lr, spec, spec.steps)
    fake_learner = Learner(fake, own.fake_lr, spec, spec.steps * own.fake_updates)
    ema, count = Ema(student.state_dict(), spec.ema_decay), own.fake_updates + 1
    for step in range(spec.steps):
        *judged, last = (batches(step * count + number) for number in range(count))
        for batch in judged:
            with torch.no_grad():
                videos = _generated(student, batch, teacher)
            given = (videos, batch.noises[1], batch.times, batch.conditions, diffusion)
            fake_learner.descend(fake_loss(fake, *given))
        student_learner.descend(_student_loss(student, fake, teacher, last, own))
        ema.update(student.state_dict(), step)
    return {name: value.cpu() for name, value in ema.state_dict().items()}


def _generated(student: DenoiserModule, batch: Batch, teacher: Teacher) -> torch.Tensor:
    diffusion = teacher.diffusion
    return generate(student, batch.noises[:1], [diffusion.start], batch.conditions, diffusion)


def _student_loss(
    student: DenoiserModule, fake: DenoiserModule, teacher: Teacher, batch: Batch, own: StudentSpec
) -> torch.Tensor:
    videos, times = _generated(student, batch, teacher), batch.times
    x_t = teacher.diffusion.add_noise(videos.detach(), batch.noises[1], times)
    real, _ = teacher.judge(x_t, times, batch.conditions, listen=False)
    with torch.no_grad():
        judged = fake(x_t, times, batch.conditions)
    loss = matching_loss(videos, x_t, times, real, judged, teacher.diffusion)
    if own.regression:
        solved = teacher.solve(batch.noises[0], batch.conditions, SamplerConfig(steps=own.ode_steps), None)
        loss = loss + own.regression * regression_loss(videos, solved)
    return loss
