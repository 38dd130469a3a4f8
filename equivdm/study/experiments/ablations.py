"""Ablations of ours: how noise is carried, flow that is wrong, what is hidden, one draw for ever."""

from collections.abc import Mapping
from pathlib import Path

from equivdm.study.clips import build_clips
from equivdm.study.config import ExperimentSpec, ModelSpec, NoiseSpec
from equivdm.study.experiment import Experiment, Measured, Networks
from equivdm.study.judging import JUDGED, Judge
from equivdm.study.recipes import CONDITIONS, INDEPENDENT, ask, tuned_model


def laws(spec: ExperimentSpec) -> Mapping[str, NoiseSpec]:
    """Return the noise of each variant."""
    return {
        "particles": NoiseSpec(beta=spec.beta),
        "go with the flow": NoiseSpec(scheme="go_with_the_flow", beta=spec.beta),
        "nearest": NoiseSpec(scheme="nearest", beta=spec.beta),
        "bilinear": NoiseSpec(scheme="bilinear", beta=spec.beta),
        "noisy flow": NoiseSpec(flow="noisy", beta=spec.beta),
        "flow of another clip": NoiseSpec(flow="other_clip", beta=spec.beta),
        "without occlusion": NoiseSpec(occlusion=False, beta=spec.beta),
        "one stored draw": NoiseSpec(stored=True, beta=spec.beta),
        "independent": INDEPENDENT,
    }


def models(spec: ExperimentSpec, seed: int) -> list[ModelSpec]:
    """A model for each law."""
    return [tuned_model(spec, seed, noise) for noise in laws(spec).values()]


def measure(spec: ExperimentSpec, seed: int, networks: Networks, folder: Path) -> Measured:
    """Samples of each from noise of its own law; of stored draws, from fresh ones, as in use."""
    judge = Judge(spec, build_clips(spec.scenes, seed, folder).held_out)
    for name, noise in laws(spec).items():
        model, fresh = tuned_model(spec, seed, noise), noise.model_copy(update={"stored": False})
        for condition in CONDITIONS:
            variant = f"{name}, {condition}"
            judge.add(variant, ask(spec, model, networks, condition, fresh), spec.sampler_steps, keep=variant)
    return judge.measured


ABLATIONS = Experiment(
    name="ablations",
    title="Ablations of the noise",
    claim="What makes the difference is that the noise is white and moves as the video does (ours; the paper has no "
    "such table).",
    axis=None,
    models=models,
    measure=measure,
    metrics=JUDGED,
)
