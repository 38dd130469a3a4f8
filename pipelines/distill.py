"""A model to a one-step student, by distribution matching: student, frozen teacher, trained fake score."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from equivdm.backbones import backbone_of
from equivdm.distillation import distribution_matching_loss, fake_loss, generate
from equivdm.objective import Diffusion
from pipelines.batch import Items, as_items
from pipelines.clips import select_clips
from pipelines.config import DistillJob
from pipelines.engines import Engine, descend, frozen
from pipelines.fit import TrainSummary, fit_model
from pipelines.flops import ForwardFlops
from pipelines.identity import fingerprint
from pipelines.loader import Batch, ClipReader, Loader, SampleConfig
from pipelines.models import STUDENT_SAMPLER, ModelRecord, newest_model, open_weights
from pipelines.session import Part, Run
from pipelines.shown import check_colour
from pipelines.stages import check_clips
from pipelines.store import Store, open_store
from pipelines.tables import Table
from pipelines.train import fit_identity
from pipelines.validation import plan_validation

VERSION = 1
"""Raised when the same teacher, clips and config would give other weights."""


def run(config: DistillJob) -> TrainSummary:
    """Distil the teacher. The same call again continues a stopped run; a finished one is left as it is."""
    store = open_store(config.store)
    teacher = newest_model(store, config.teacher)
    chosen = select_clips(store, config.data)
    check_clips(chosen, teacher.backbone)
    check_colour(store, chosen, teacher.backbone)
    clips = [row["key"] for row in chosen]
    # Resolved, so that the student's row says what it was made with.
    config = config.model_copy(update={"noise": config.noise or teacher.noise})
    key, backbone = distill_key(config, teacher, clips), backbone_of(teacher.backbone)
    validation = plan_validation(
        config,
        store,
        key,
        build=partial(backbone.open_denoiser, seed=0),
        backbone=teacher.backbone,
        diffusion=backbone.diffusion(teacher.objective),
        noise=config.noise,
        sampler=STUDENT_SAMPLER,
        has_loss=False,
    )
    recipe = partial(make_recipe, config, store, teacher, clips)
    return fit_model(config, store, key, recipe, validation, parent=teacher.key)


def inputs(config: DistillJob, store: Store) -> tuple[Table, Items]:
    """Return the table and the one item of a job, for an audit."""
    clips = [row["key"] for row in select_clips(store, config.data)]
    key = distill_key(config, newest_model(store, config.teacher), clips)
    return store.table("models"), as_items([{"key": key, "path": config.name}])


def distill_key(config: DistillJob, teacher: ModelRecord, clips: Sequence[str]) -> str:
    """Return the hash of all that can change the student's weights. The name is part of it: a model has one."""
    noise = config.noise or teacher.noise
    return fingerprint(
        {
            "stage": "distill",
            "version": VERSION,
            "name": config.name,
            "teacher": teacher.weights,
            "clips": sorted(clips),
            "noise": noise.model_dump(),
            "fake_updates": config.fake_updates,
            "fake_lr": config.fake_lr,
            "fit": fit_identity(config.fit),
        }
    )


@dataclass(frozen=True)
class Distillation:
    """The recipe: a step is `fake_updates` updates of the fake score and one of the student, each on its own batch.

    A batch brings two draws of noise along its clips' motion: the student's input, and the re-noising.
    """

    parts: Mapping[str, Part]
    loader: Loader
    forward_flops: ForwardFlops
    fake_updates: int
    diffusion: Diffusion
    device: torch.device

    def batch(self, step: int) -> list[Batch]:
        """Return the batches of a step, the student's last."""
        count = self.fake_updates + 1
        return [self.loader.batch(step * count + number) for number in range(count)]

    def replaced(self, batch: list[Batch]) -> tuple[str, ...]:
        """Return what is wrong with clips that others stand in for."""
        return tuple(why for part in batch for why in part.replaced)

    def flops(self, batch: list[Batch]) -> float:
        """Return the FLOPs of a step: of each update one pass forward and one backward, and the passes beside them."""
        *fakes, last = batch
        fake_updates = sum((1 + 3) * self.forward_flops(part) for part in fakes)  # the student generates
        return fake_updates + (2 + 3) * self.forward_flops(last)  # teacher and fake score judge

    def update(
        self, engines: Mapping[str, Engine], frozen: Mapping[str, Run], batch: list[Batch], step: int
    ) -> dict[str, Tensor]:
        """Do one step."""
        *fakes, last = batch
        fake_losses = [self._update_fake(engines["student"], engines["fake"], part) for part in fakes]
        loss = self._update_student(engines["student"], engines["fake"], frozen["teacher"], last)
        return {"loss": loss, "fake_loss": torch.stack(fake_losses).mean()}

    def _update_fake(self, student: Engine, fake: Engine, batch: Batch) -> Tensor:
        generator = frozen(student.module, self.device)

        def loss(part: Batch) -> Tensor:
            part = part.to(self.device)
            start, again = part.noises
            videos = generate(generator, start, part.conditions, self.diffusion)
            return fake_loss(fake, videos, again, part.times, part.conditions, self.diffusion)

        return descend(fake, batch.split(fake.accumulate), loss)

    def _update_student(self, student: Engine, fake: Engine, teacher: Run, batch: Batch) -> Tensor:
        score = frozen(fake.module, self.device)

        def loss(part: Batch) -> Tensor:
            part = part.to(self.device)
            start, again = part.noises
            videos = generate(student, start, part.conditions, self.diffusion)
            return distribution_matching_loss(
                videos, again, part.times, part.conditions, teacher, score, self.diffusion
            )

        return descend(student, batch.split(student.accumulate), loss)


def make_recipe(
    config: DistillJob,
    store: Store,
    teacher: ModelRecord,
    clips: Sequence[str],
    device: torch.device,
    rank: int,
    world: int,
) -> Distillation:
    """Return the recipe of one worker. Student and fake score start as copies of the teacher."""
    fit, backbone = config.fit, backbone_of(teacher.backbone)
    diffusion = backbone.diffusion(teacher.objective)
    network = open_weights(store, teacher).requires_grad_(False)
    network.recompute = fit.checkpoint_activations
    parts = {
        "student": Part(deepcopy(network).requires_grad_(True).train(), fit.optimizer.lr),
        "fake": Part(deepcopy(network).requires_grad_(True).train(), config.fake_lr, config.fake_updates),
        "teacher": Part(network, None),
    }
    samples = SampleConfig(
        seed=fit.seed,
        batch=fit.batch,
        noise=config.noise or teacher.noise,
        diffusion=diffusion,
        draws=2,
        replace_bad=fit.on_bad_clip == "skip",
    )
    loader = Loader(samples, clips, ClipReader(store, clips, backbone.geometry), rank, world)
    return Distillation(parts, loader, ForwardFlops(network), config.fake_updates, diffusion, device)
