"""Table 4: how much independent noise beside the warped one."""

from pathlib import Path

from equivdm.study.clips import build_clips
from equivdm.study.config import ExperimentSpec, ModelSpec
from equivdm.study.experiment import Experiment, Measured, Networks
from equivdm.study.judging import JUDGED, Judge
from equivdm.study.recipes import CONDITIONS, ask, of_beta, tuned_model


def models(spec: ExperimentSpec, seed: int) -> list[ModelSpec]:
    """A model for each beta."""
    return [tuned_model(spec, seed, of_beta(beta)) for beta in spec.betas]


def measure(spec: ExperimentSpec, seed: int, networks: Networks, folder: Path) -> Measured:
    """Samples of each, with and without the dense condition."""
    judge = Judge(spec, build_clips(spec.scenes, seed, folder).held_out)
    for beta, model in zip(spec.betas, models(spec, seed), strict=True):
        for condition in CONDITIONS:
            asked = ask(spec, model, networks, condition)
            judge.add(condition, asked, spec.sampler_steps, beta, keep=f"beta {beta:g}, {condition}")
    return judge.measured


BETA = Experiment(
    name="beta",
    title="Share of the warped noise (Table 4)",
    claim="A small independent component helps: eps = beta * eps_warped + sqrt(1 - beta^2) * eps_independent is best "
    "at beta = 0.9.",
    axis="beta",
    models=models,
    measure=measure,
    metrics=JUDGED,
)
