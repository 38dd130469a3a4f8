"""What a training job starts from: the backbone's own weights or a model of the store, with adapters or without."""

from typing import Any

from equivdm.backbones import backbone_of
from equivdm.backbones.base import DenoiserModule
from equivdm.config import BackboneConfig, LoraConfig
from equivdm.errors import UsageError
from equivdm.seeds import derive_seed
from pipelines.config import TrainJob
from pipelines.models import ModelRecord, newest_model, open_weights
from pipelines.store import Store


def start_of(config: TrainJob, store: Store) -> ModelRecord | None:
    """Return the model that a job goes on from. Raises UsageError where there is none, or another kind of it."""
    if config.start is None:
        return None
    start = newest_model(store, config.start)
    if start.backbone != config.backbone:
        raise UsageError(
            f"start: got {config.start}, which is of backbone {start.backbone}, wanted {config.backbone}: "
            "give the job the same, or start elsewhere"
        )
    own = backbone_of(config.backbone).predicts
    got, wanted = start.objective or own, config.objective or own
    if got != wanted:
        raise UsageError(
            f"start: got {config.start}, which predicts {got}, wanted {wanted}: set objective={got}, or start elsewhere"
        )
    return start


def start_identity(config: TrainJob, start: ModelRecord | None) -> dict[str, Any]:
    """Return what of it can change the weights: nothing where nothing is given, so that models keep their keys."""
    adapters: dict[str, Any] = {"lora": config.lora.model_dump(mode="json")} if config.lora else {}
    return adapters | ({"start": [start.key, start.weights]} if start else {})


def first_network(config: TrainJob, store: Store, start: ModelRecord | None) -> DenoiserModule:
    """Return the network at step 0. What files hold of its weights is yet to be read."""
    seed = derive_seed(config.fit.seed, "weights")
    denoiser = open_weights(store, start).train() if start else backbone_of(config.backbone).open_denoiser(seed)
    if config.lora:
        from equivdm.adapters import adapt

        adapt(denoiser, config.backbone, config.lora, derive_seed(config.fit.seed, "lora"), base_seed=seed)
    return denoiser


def check_lora(config: BackboneConfig, lora: LoraConfig | None) -> None:
    """Raise UsageError, before any worker starts, where adapters cannot be put on a network."""
    if lora is None:
        return
    from equivdm.adapters import check_targets

    backbone = backbone_of(config)
    check_targets(backbone.build_empty(), backbone.targets(lora))
