"""Models of random weights for tests."""

import torch

from equivdm.backbones import backbone_of
from equivdm.config import TinyConfig
from pipelines.config import TrainJob
from pipelines.models import register_model, save_weights
from pipelines.store import Store

BACKBONE = TinyConfig(width=32, depth=1, heads=2)


def add_model(store: Store, name: str, seed: int, network: TinyConfig = BACKBONE, **changes: object) -> None:
    """Register a model of random weights."""
    denoiser = backbone_of(network).build_denoiser(seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for parameter in denoiser.parameters():
        parameter.data.normal_(0, 0.02, generator=generator)
    key = f"{seed:02d}".encode().hex() * 16
    weights = save_weights(store, key, denoiser.state_dict(), denoiser)
    facts = {"weights": weights, "steps": 0, "history": (), "run": "test", "seconds": 0.0}
    register_model(
        store,
        TrainJob.model_validate({"store": {"root": store.url}, "name": name, "backbone": network, **changes}),
        key,
        None,
        **facts,
    )
