"""A model to a student of one step, or of few, by distribution matching."""

from collections.abc import Sequence
from functools import partial

from equivdm.backbones import backbone_of
from equivdm.errors import UsageError
from equivdm.sampling import check_sampler
from pipelines.batch import Items, as_items
from pipelines.clips import select_clips
from pipelines.config import DistillJob
from pipelines.distill_recipe import make_recipe
from pipelines.fit import TrainSummary, fit_model
from pipelines.identity import fingerprint
from pipelines.models import ModelRecord, newest_model
from pipelines.shown import check_colour
from pipelines.stages import check_clips
from pipelines.start import check_lora
from pipelines.store import Store, open_store
from pipelines.students import SAMPLING, sampling_of
from pipelines.tables import Table
from pipelines.train import fit_identity
from pipelines.validation import plan_validation

VERSION = 3
"""Raised when the same teacher, clips and config would give other weights."""


def run(config: DistillJob) -> TrainSummary:
    """Distil the teacher. The same call again continues a stopped run; a finished one is left as it is."""
    store = open_store(config.store)
    teacher = teacher_of(config, store)
    chosen = select_clips(store, config.data)
    check_clips(chosen, teacher.backbone)
    check_colour(store, chosen, teacher.backbone)
    check_lora(teacher.backbone, config.fake_lora)
    start = start_of(config, teacher, store)
    clips = [row["key"] for row in chosen]
    # Resolved, so that the student's row says what it was made with.
    renoise = config.renoising(teacher.noise)
    config = config.model_copy(update={"noise": config.noise or teacher.noise, "renoise": renoise.kind})
    key, backbone = distill_key(config, teacher, clips, start), backbone_of(teacher.backbone)
    diffusion = backbone.diffusion(teacher.objective)
    check_sampler(config.sampler, diffusion)
    validation = plan_validation(
        config,
        store,
        key,
        build=partial(backbone.open_denoiser, seed=0),
        backbone=teacher.backbone,
        diffusion=diffusion,
        noise=config.noise,
        renoise=renoise,
        sampler=config.sampler,
        has_loss=False,
    )
    recipe = partial(make_recipe, config, store, teacher, clips, start=start)
    beside = {SAMPLING: sampling_of(config, teacher)}
    return fit_model(config, store, key, recipe, validation, parent=teacher.key, beside=beside)


def inputs(config: DistillJob, store: Store) -> tuple[Table, Items]:
    """Return the table and the one item of a job, for an audit."""
    clips = [row["key"] for row in select_clips(store, config.data)]
    teacher = teacher_of(config, store)
    key = distill_key(config, teacher, clips, start_of(config, teacher, store))
    return store.table("models"), as_items([{"key": key, "path": config.name}])


def teacher_of(config: DistillJob, store: Store) -> ModelRecord:
    """Return the model to distil. Raises UsageError where there is none, or it is a student, which is no score."""
    teacher = newest_model(store, config.teacher)
    if teacher.kind == "distill":
        raise UsageError(f"teacher: got {config.teacher}, which is a student itself: name the model that it came from")
    return teacher


def start_of(config: DistillJob, teacher: ModelRecord, store: Store) -> ModelRecord | None:
    """Return the student to go on from. Raises UsageError where there is none, or its network is not the teacher's."""
    if config.start is None:
        return None
    start = newest_model(store, config.start)
    own = backbone_of(teacher.backbone).predicts
    got, wanted = ((model.backbone, model.objective or own) for model in (start, teacher))
    if got != wanted or start.kind != "distill":
        raise UsageError(
            f"start: got {config.start}, which is a {start.kind} model of {got}, wanted a student of {wanted}, as "
            f"{config.teacher} is: name such a one, or leave it out"
        )
    return start


def distill_key(
    config: DistillJob, teacher: ModelRecord, clips: Sequence[str], start: ModelRecord | None = None
) -> str:
    """Return the hash of all that can change the student's weights. The name is part of it: a model has one."""
    settings = {"student_steps", "shift", "guidance", "fake_updates", "fake_lr", "fake_lora", "gan", "regression"}
    return fingerprint(
        {
            "stage": "distill",
            "version": VERSION,
            "name": config.name,
            "teacher": teacher.weights,
            "clips": sorted(clips),
            "noise": (config.noise or teacher.noise).model_dump(),
            "renoise": config.renoising(teacher.noise).model_dump(),
            "fit": fit_identity(config.fit),
            **config.model_dump(mode="json", include=settings),
            # Only where there is one, so that students from before there was a choice keep their keys.
            **({"start": [start.key, start.weights]} if start else {}),
        }
    )
