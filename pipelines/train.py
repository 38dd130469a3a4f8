"""Clips to a model: the ordinary denoising loss, on noise that moves with the video."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from equivdm.backbones import backbone_of
from equivdm.errors import UsageError
from equivdm.objective import Diffusion
from equivdm.process import shift_times
from equivdm.sampling import check_shift
from pipelines.batch import Items, as_items
from pipelines.clips import select_clips
from pipelines.config import TrainJob
from pipelines.engines import Engine, descend
from pipelines.fit import TrainSummary, fit_model
from pipelines.fit_config import FitConfig
from pipelines.flops import ForwardFlops
from pipelines.identity import fingerprint
from pipelines.loader import Batch, ClipReader, Loader, SampleConfig
from pipelines.models import ModelRecord
from pipelines.session import Part, Run
from pipelines.shown import check_colour
from pipelines.stages import check_clips
from pipelines.start import check_lora, first_network, start_identity, start_of
from pipelines.store import Store, open_store
from pipelines.tables import Table
from pipelines.validation import plan_validation

VERSION = 1
"""Raised when the same clips and config would give other weights."""


def run(config: TrainJob) -> TrainSummary:
    """Train on the selected clips. The same call again continues a stopped run; a finished one is left as it is."""
    store, backbone = open_store(config.store), backbone_of(config.backbone)
    chosen = select_clips(store, config.data)
    check_clips(chosen, config.backbone)
    check_colour(store, chosen, config.backbone)
    for height, width in {(row["height"], row["width"]) for row in chosen}:
        try:
            backbone.check_size(height, width)
        except ValueError as error:
            raise UsageError(f"backbone: {error}") from error
    clips = [row["key"] for row in chosen]
    check_lora(config.backbone, config.lora)
    check_shift("shift", config.shift, backbone.diffusion(config.objective))
    start = start_of(config, store)
    key = train_key(config, clips, start)
    validation = plan_validation(
        config,
        store,
        key,
        build=partial(first_network, config, store, start),
        backbone=config.backbone,
        diffusion=backbone.diffusion(config.objective),
        noise=config.noise,
        sampler=backbone.sampler,
        has_loss=True,
    )
    recipe = partial(make_recipe, config, store, clips, start=start)
    return fit_model(config, store, key, recipe, validation, parent=start.key if start else None)


def inputs(config: TrainJob, store: Store) -> tuple[Table, Items]:
    """Return the table and the one item of a job, for an audit."""
    clips = [row["key"] for row in select_clips(store, config.data)]
    key = train_key(config, clips, start_of(config, store))
    return store.table("models"), as_items([{"key": key, "path": config.name}])


def train_key(config: TrainJob, clips: Sequence[str], start: ModelRecord | None = None) -> str:
    """Return the hash of all that can change the weights. The name is part of it: a model has one."""
    return fingerprint(
        {
            "stage": "train",
            "version": VERSION,
            "name": config.name,
            "clips": sorted(clips),
            "backbone": backbone_of(config.backbone).network_identity(),
            "noise": config.noise.model_dump(),
            "control_dropout": config.control_dropout,
            "text_dropout": config.text_dropout,
            "fit": fit_identity(config.fit),
            **objective_identity(config),
            **({"shift": config.shift} if config.shift != 1 else {}),
            **start_identity(config, start),
        }
    )


def objective_identity(config: TrainJob) -> dict[str, str]:
    """Return the objective where it is not the backbone's own: models from before there was a choice keep keys."""
    own = config.objective is None or config.objective == backbone_of(config.backbone).predicts
    return {} if own else {"objective": str(config.objective)}


def fit_identity(fit: FitConfig) -> dict[str, object]:
    """Return what of the common settings can change the weights by more than rounding."""
    identity = fit.model_dump(include={"steps", "batch", "seed", "ema", "optimizer"}, mode="json")
    if fit.optimizer.schedule == "constant":  # as before there was a choice, so that models keep their keys
        for name in ("schedule", "lr_floor"):
            del identity["optimizer"][name]
    return identity


@dataclass(frozen=True)
class Denoising:
    """The recipe: one network, one update a step."""

    parts: Mapping[str, Part]
    loader: Loader
    diffusion: Diffusion
    shift: float
    forward_flops: ForwardFlops
    device: torch.device

    def batch(self, step: int) -> Batch:
        """Return the samples of a step."""
        batch = self.loader.batch(step)
        return replace(batch, times=shift_times(batch.times, self.shift))

    def replaced(self, batch: Batch) -> tuple[str, ...]:
        """Return what is wrong with clips that others stand in for."""
        return batch.replaced

    def flops(self, batch: Batch) -> float:
        """Return the FLOPs of one pass forward and one backward; frozen weights have no gradient to compute."""
        return (3 if self.parts["denoiser"].module.base is None else 2) * self.forward_flops(batch)

    def update(
        self, engines: Mapping[str, Engine], frozen: Mapping[str, Run], batch: Batch, step: int
    ) -> dict[str, Tensor]:
        """Do one step of denoising."""
        denoiser = engines["denoiser"]

        def loss(part: Batch) -> Tensor:
            part = part.to(self.device)
            return self.diffusion.loss(denoiser, part.latents, part.noises[0], part.times, part.conditions)

        return {"loss": descend(denoiser, batch.split(denoiser.accumulate), loss)}


def make_recipe(
    config: TrainJob,
    store: Store,
    clips: Sequence[str],
    device: torch.device,
    rank: int,
    world: int,
    start: ModelRecord | None = None,
) -> Denoising:
    """Return the recipe of one worker."""
    fit, backbone = config.fit, backbone_of(config.backbone)
    diffusion = backbone.diffusion(config.objective)
    denoiser = first_network(config, store, start)
    denoiser.recompute = fit.checkpoint_activations
    samples = SampleConfig(
        seed=fit.seed,
        batch=fit.batch,
        noise=config.noise,
        diffusion=diffusion,
        text_dropout=config.text_dropout,
        control_dropout=config.control_dropout,
        replace_bad=fit.on_bad_clip == "skip",
    )
    reader = ClipReader(store, clips, backbone.geometry)
    loader = Loader(samples, clips, reader, rank, world)
    parts = {"denoiser": Part(denoiser, fit.optimizer.lr)}
    return Denoising(parts, loader, diffusion, config.shift, ForwardFlops(denoiser), device)
