"""Clips to a model: the ordinary denoising loss, on noise that moves with the video."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from equivdm.backbones import build_denoiser, check_size, targets_of
from equivdm.backbones.base import DenoiserModule
from equivdm.config import BackboneConfig, LoraConfig
from equivdm.errors import UsageError
from equivdm.objective import flow_matching_loss
from equivdm.seeds import derive_seed
from pipelines.batch import Items, as_items
from pipelines.clips import select_clips
from pipelines.config import TrainJob
from pipelines.engines import Engine, descend
from pipelines.fit import TrainSummary, fit_model
from pipelines.fit_config import FitConfig
from pipelines.identity import fingerprint
from pipelines.loader import Batch, ClipReader, Loader, SampleConfig
from pipelines.loop import Part
from pipelines.models import ModelRecord, load_weights, newest_model
from pipelines.store import Store, open_store
from pipelines.tables import Table

VERSION = 1
"""Raised when the same clips and config would give other weights."""


def run(config: TrainJob) -> TrainSummary:
    """Train on the selected clips. The same call again continues a stopped run; a finished one is left as it is."""
    store = open_store(config.store)
    chosen = select_clips(store, config.data)
    for height, width in {(row["height"], row["width"]) for row in chosen}:
        try:
            check_size(config.backbone, height, width)
        except ValueError as error:
            raise UsageError(f"backbone: {error}") from error
    if config.lora:
        _check_targets(config.backbone, config.lora)
    clips, start = [row["key"] for row in chosen], start_of(config, store)
    key, recipe = train_key(config, clips, start), partial(make_recipe, config, store, clips, start=start)
    return fit_model(config, store, key, recipe, parent=start.key if start else None)


def inputs(config: TrainJob, store: Store) -> tuple[Table, Items]:
    """Return the table and the one item of a job, for an audit."""
    clips = [row["key"] for row in select_clips(store, config.data)]
    key = train_key(config, clips, start_of(config, store))
    return store.table("models"), as_items([{"key": key, "path": config.name}])


def start_of(config: TrainJob, store: Store) -> ModelRecord | None:
    """Return the model that a job goes on from. Raises UsageError where there is none, or of another backbone."""
    if config.start is None:
        return None
    start = newest_model(store, config.start)
    if start.backbone != config.backbone:
        raise UsageError(
            f"start: got {config.start}, which is of backbone {start.backbone}, wanted {config.backbone}: "
            "give the job the same, or start elsewhere"
        )
    return start


def train_key(config: TrainJob, clips: Sequence[str], start: ModelRecord | None = None) -> str:
    """Return the hash of all that can change the weights. The name is part of it: a model has one."""
    return fingerprint(
        {
            "stage": "train",
            "version": VERSION,
            "name": config.name,
            "clips": sorted(clips),
            "backbone": config.backbone.model_dump(),
            "noise": config.noise.model_dump(),
            "control_dropout": config.control_dropout,
            "text_dropout": config.text_dropout,
            "fit": fit_identity(config.fit),
            # Only where given, so that models from before there was a choice keep their keys.
            **({"lora": config.lora.model_dump(mode="json")} if config.lora else {}),
            **({"start": [start.key, start.weights]} if start else {}),
        }
    )


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
    device: torch.device

    def batch(self, step: int) -> Batch:
        """Return the samples of a step."""
        return self.loader.batch(step)

    def update(self, engines: Mapping[str, Engine], batch: Batch, step: int) -> dict[str, Tensor]:
        """Do one step of flow matching."""
        denoiser = engines["denoiser"]

        def loss(part: Batch) -> Tensor:
            part = part.to(self.device)
            return flow_matching_loss(denoiser, part.latents, part.noises[0], part.times, part.conditions)

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
    fit = config.fit
    denoiser = _network(config, store, start)
    denoiser.recompute = fit.checkpoint_activations
    samples = SampleConfig(
        seed=fit.seed,
        batch=fit.batch,
        noise=config.noise,
        text_dropout=config.text_dropout,
        control_dropout=config.control_dropout,
    )
    loader = Loader(samples, clips, ClipReader(store, clips), rank, world)
    return Denoising({"denoiser": Part(denoiser, fit.optimizer.lr)}, loader, device)


def _network(config: TrainJob, store: Store, start: ModelRecord | None) -> DenoiserModule:
    seed = derive_seed(config.fit.seed, "weights")
    denoiser = load_weights(store, start).train() if start else build_denoiser(config.backbone, seed)
    if config.lora:
        from equivdm.adapters import adapt

        adapt(denoiser, config.backbone, config.lora, derive_seed(config.fit.seed, "lora"), base_seed=seed)
    return denoiser


def _check_targets(backbone: BackboneConfig, lora: LoraConfig) -> None:
    """Raise UsageError, before any worker starts, where adapters cannot be put on a network."""
    from equivdm.adapters import check_targets

    with torch.device("meta"):
        check_targets(build_denoiser(backbone).body, targets_of(backbone, lora))
