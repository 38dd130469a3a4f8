"""The models that several experiments share, and how they are asked."""

from collections.abc import Mapping

from equivdm.study.asking import Asked
from equivdm.study.config import DataSpec, ExperimentSpec, ModelSpec, NoiseSpec
from equivdm.study.experiment import Networks

INDEPENDENT = NoiseSpec(scheme="independent")

CONDITIONS: Mapping[str, bool] = {"no condition": False, "soft edge": True}
"""What a model is shown beside noise and caption, by name."""


def of_beta(beta: float) -> NoiseSpec:
    """Return warped noise of a beta; for 0 what it is then, independent noise."""
    return NoiseSpec(beta=beta) if beta else INDEPENDENT


def base_model(spec: ExperimentSpec, seed: int) -> ModelSpec:
    """Return the model that the others start from: it has seen independent noise only, as pretrained ones have."""
    return ModelSpec(
        seed=seed,
        backbone=spec.backbone,
        data=spec.scenes,
        noise=INDEPENDENT,
        steps=spec.base_steps,
        batch=spec.batch,
        lr=spec.base_lr,
        ema_decay=0.99,
    )


def tuned_model(spec: ExperimentSpec, seed: int, noise: NoiseSpec, data: DataSpec | None = None) -> ModelSpec:
    """Return a model that goes on from the base with a noise of its own, for equally many updates.

    `data` are other clips than the base's, where some are given.
    """
    base = base_model(spec, seed)
    changes = {"noise": noise, "steps": spec.tune_steps, "lr": spec.tune_lr, "ema_decay": 0.98, "base": base}
    return base.model_copy(update=changes | ({"data": data} if data else {}))


def both(spec: ExperimentSpec, seed: int) -> Mapping[str, ModelSpec]:
    """Return EquiVDM and its baseline, by name."""
    laws = {"warped": of_beta(spec.beta), "independent": INDEPENDENT}
    return {name: tuned_model(spec, seed, noise) for name, noise in laws.items()}


def both_models(spec: ExperimentSpec, seed: int) -> list[ModelSpec]:
    """Return the two."""
    return list(both(spec, seed).values())


def student_of(spec: ExperimentSpec, teacher: ModelSpec) -> ModelSpec:
    """Return the one-step student of a model; its noise is the teacher's."""
    changes = {"steps": spec.student_steps, "lr": spec.student_lr, "base": teacher, "student": spec.student}
    return teacher.model_copy(update=changes)


def ask(
    spec: ExperimentSpec, model: ModelSpec, networks: Networks, condition: str, noise: NoiseSpec | None = None
) -> Asked:
    """Return a model to be asked under one of CONDITIONS, with its own noise where no other is given."""
    return Asked(model, networks[model.key], noise or model.noise, CONDITIONS[condition], spec.device)
