"""Figure 5b: quality and motion alignment against sampler steps."""

from pathlib import Path

from equivdm.study.clips import build_clips
from equivdm.study.config import ExperimentSpec
from equivdm.study.experiment import Experiment, Measured, Networks
from equivdm.study.judging import JUDGED, Judge
from equivdm.study.recipes import CONDITIONS, ask, both, both_models


def measure(spec: ExperimentSpec, seed: int, networks: Networks, folder: Path) -> Measured:
    """Samples of both models by ever more Euler steps."""
    judge = Judge(spec, build_clips(spec.scenes, seed, folder).held_out)
    for name, model in both(spec, seed).items():
        for condition in CONDITIONS:
            variant, asked = f"{name}, {condition}", ask(spec, model, networks, condition)
            for steps in spec.step_counts:
                judge.add(variant, asked, steps, float(steps), keep=f"{variant}, {steps} steps")
    return judge.measured


STEPS = Experiment(
    name="steps",
    title="Sampler steps (Figure 5b)",
    claim="With warped noise fewer sampling steps give the same quality and motion alignment.",
    axis="sampler steps",
    models=both_models,
    measure=measure,
    metrics=JUDGED,
)
