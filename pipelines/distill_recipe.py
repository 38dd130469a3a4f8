"""The recipe of a distillation: fake score and head, then the student, beside the frozen teacher."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from equivdm.adapters import put_adapters
from equivdm.backbones import backbone_of
from equivdm.backbones.base import DenoiserModule
from equivdm.config import BackboneConfig, SamplerConfig
from equivdm.distillation.head import Head
from equivdm.distillation.losses import (
    fake_loss,
    generator_loss,
    head_loss,
    matching_loss,
    passed_on,
    regression_loss,
)
from equivdm.distillation.student import generate
from equivdm.distillation.teacher import Teacher
from equivdm.objective import Diffusion
from equivdm.process import shift_times
from equivdm.sampling import sampling_times
from equivdm.seeds import derive_seed
from equivdm.types import Latents
from pipelines.config import DistillJob
from pipelines.distill_passes import judge_passes, student_passes
from pipelines.engines import Engine, descend, frozen, running
from pipelines.flops import ForwardFlops
from pipelines.loader import Batch, ClipReader, Loader, SampleConfig
from pipelines.models import ModelRecord, open_weights
from pipelines.session import Part, Run
from pipelines.store import Store


@dataclass(frozen=True)
class Distillation:
    """A step is `fake_updates` updates of fake score and head, and one of the student, each on its own batch.

    A batch brings draws of noise along its clips' motion: the student's input, one for each step after the first that
    it takes in this update, and the last one for the re-noising. How many steps these are is drawn by batch, and the
    same on all workers, which must call their networks alike.
    """

    config: DistillJob
    parts: Mapping[str, Part]
    network: DenoiserModule
    """The teacher's."""
    loader: Loader
    forward_flops: ForwardFlops
    diffusion: Diffusion
    device: torch.device

    def batch(self, step: int) -> list[Batch]:
        """Return the batches of a step, the student's last."""
        count = self.config.fake_updates + 1
        return [self._batch(step * count + number) for number in range(count)]

    def replaced(self, batch: list[Batch]) -> tuple[str, ...]:
        """Return what is wrong with clips that others stand in for."""
        return tuple(why for part in batch for why in part.replaced)

    def flops(self, batch: list[Batch]) -> float:
        """Return the FLOPs of a step; the head's, which are next to none, are left out."""
        *fakes, last = batch
        passes = [(part, judge_passes(self.config, len(part.noises) - 1)) for part in fakes]
        passes.append((last, student_passes(self.config, len(last.noises) - 1)))
        return sum(count * self.forward_flops(part) for part, count in passes)

    def update(
        self, engines: Mapping[str, Engine], frozen: Mapping[str, Run], batch: list[Batch], step: int
    ) -> dict[str, Tensor]:
        """Do one step."""
        *fakes, last = batch
        teacher = Teacher(frozen["teacher"], self.network, self.diffusion, self.config.guidance)
        judges = [self._update_judges(engines, teacher, part) for part in fakes]
        means = {name: torch.stack([found[name] for found in judges]).mean() for name in judges[0]}
        return self._update_student(engines, teacher, last) | means

    def _batch(self, number: int) -> Batch:
        config = self.config
        last = derive_seed(config.fit.seed, "student step", number) % config.student_steps
        found = self.loader.batch(number, [*range(last + 1), config.student_steps])
        return replace(found, times=shift_times(found.times, config.shift))

    def _update_judges(self, engines: Mapping[str, Engine], teacher: Teacher, batch: Batch) -> dict[str, Tensor]:
        """Train fake score and head on the student's videos of a batch."""
        fake, diffusion = engines["fake"], self.diffusion
        run = frozen(engines["student"].module, self.device)
        parts = batch.split(fake.accumulate)
        # Of what both judges see the videos alone stay on the device: the rest is there when it is its turn.
        made = [(part, self._generated(run, part.to(self.device), run)) for part in parts]

        def denoising(each: tuple[Batch, Latents]) -> Tensor:
            part, videos = each[0].to(self.device), each[1]
            return fake_loss(fake, videos, part.noises[-1], part.times, part.conditions, diffusion)

        def telling_apart(each: tuple[Batch, Latents]) -> Tensor:
            part, videos = each[0].to(self.device), each[1]
            seen = [
                teacher.features(diffusion.add_noise(x, part.noises[-1], part.times), part.times, part.conditions)
                for x in (part.latents, videos)
            ]
            both = [torch.cat(layer) for layer in zip(*seen, strict=True)]
            return head_loss(*engines["head"](both).chunk(2))

        found = {"fake_loss": descend(fake, made, denoising)}
        if self.config.gan:
            found["head_loss"] = descend(engines["head"], made, telling_apart)
        return found

    def _update_student(self, engines: Mapping[str, Engine], teacher: Teacher, batch: Batch) -> dict[str, Tensor]:
        """Train the student. Where its loss has several terms, each is told beside the sum."""
        config, seen = self.config, list[dict[str, Tensor]]()
        weights = {"matching_loss": 1.0}
        weights |= {"gan_loss": config.gan.weight} if config.gan else {}
        weights |= {"regression_loss": config.regression.weight} if config.regression else {}

        def loss(part: Batch) -> Tensor:
            terms = self._terms(engines, teacher, part.to(self.device))
            seen.append({name: term.detach() for name, term in terms.items()})
            return torch.stack([weights[name] * term for name, term in terms.items()]).sum()

        student = engines["student"]
        whole = {"loss": descend(student, batch.split(student.accumulate), loss)}
        terms = {name: torch.stack([each[name] for each in seen]).mean() for name in weights}
        return whole | (terms if len(terms) > 1 else {})

    def _terms(self, engines: Mapping[str, Engine], teacher: Teacher, part: Batch) -> dict[str, Tensor]:
        """Return the terms of the student's loss on a micro-batch."""
        config, times, student = self.config, part.times, engines["student"]
        videos = self._generated(student, part, frozen(student.module, self.device))
        x = videos.detach().requires_grad_(config.gan is not None)
        x_t = self.diffusion.add_noise(x, part.noises[-1], times)
        real, features = teacher.judge(x_t, times, part.conditions, part.empty, listen=config.gan is not None)
        x_t = x_t.detach()
        fake = frozen(engines["fake"].module, self.device)(x_t, times, part.conditions)
        terms = {"matching_loss": matching_loss(videos, x_t, times, real, fake, self.diffusion)}
        if config.gan:
            # Down to x alone: so the head's weights get no gradient, and the teacher's graph is gone before the
            # student's own is gone through.
            judged = generator_loss(running(engines["head"].module, self.device)(features))
            terms["gan_loss"] = passed_on(judged, videos, torch.autograd.grad(judged, x)[0])
        if config.regression:
            sampler = SamplerConfig(steps=config.regression.steps, shift=config.shift)
            solved = teacher.solve(part.noises[0], part.conditions, sampler, part.empty)
            terms["regression_loss"] = regression_loss(videos, solved)
        return terms

    def _generated(self, student: Engine | Run, part: Batch, walker: Run) -> Latents:
        *path, _ = part.noises
        steps = sampling_times(self.config.sampler, self.diffusion.start)[: len(path)]
        return generate(student, path, steps, part.conditions, self.diffusion, walker)


def make_recipe(
    config: DistillJob,
    store: Store,
    teacher: ModelRecord,
    clips: Sequence[str],
    device: torch.device,
    rank: int,
    world: int,
    start: ModelRecord | None = None,
) -> Distillation:
    """Return the recipe of one worker. Student and fake score start as copies of the teacher, but for a `start`."""
    fit, backbone, noise = config.fit, backbone_of(teacher.backbone), config.noise or teacher.noise
    diffusion = backbone.diffusion(teacher.objective)
    network = open_weights(store, teacher).requires_grad_(False)
    network.recompute = fit.checkpoint_activations
    samples = SampleConfig(
        seed=fit.seed,
        batch=fit.batch,
        noise=noise,
        diffusion=diffusion,
        draws=config.student_steps + 1,
        renoise=config.renoising(teacher.noise),
        empty=config.guidance != 1,
        replace_bad=fit.on_bad_clip == "skip",
    )
    loader = Loader(samples, clips, ClipReader(store, clips, backbone.geometry), rank, world)
    student = open_weights(store, start) if start else deepcopy(network)
    parts = make_parts(config, teacher.backbone, network, student)
    return Distillation(config, parts, network, loader, ForwardFlops(network), diffusion, device)


def make_parts(
    config: DistillJob, backbone: BackboneConfig, network: DenoiserModule, student: DenoiserModule
) -> dict[str, Part]:
    """Return what is trained, the student first, and the teacher, whose network `network` is."""
    fake = deepcopy(network).requires_grad_(True).train()
    if config.fake_lora:
        put_adapters(fake, backbone, config.fake_lora, derive_seed(config.fit.seed, "fake"))
    parts = {
        "student": Part(student.requires_grad_(True).train(), config.fit.optimizer.lr),
        "fake": Part(fake, config.fake_lr, config.fake_updates),
    }
    if config.gan:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(config.fit.seed, "head"))
            head = Head(list(network.feature_layers.values()), config.gan.width)
        parts["head"] = Part(head, config.gan.lr, config.fake_updates)
    return parts | {"teacher": Part(network, None)}
