"""Table 2: video to video, with a dense condition and without."""

from pathlib import Path

from equivdm.study.clips import build_clips
from equivdm.study.config import ExperimentSpec
from equivdm.study.experiment import Experiment, Measured, Networks
from equivdm.study.judging import JUDGED, Judge
from equivdm.study.recipes import CONDITIONS, ask, both, both_models


def measure(spec: ExperimentSpec, seed: int, networks: Networks, folder: Path) -> Measured:
    """Samples of both models."""
    judge = Judge(spec, build_clips(spec.scenes, seed, folder).held_out)
    for name, model in both(spec, seed).items():
        for condition in CONDITIONS:
            variant = f"{name}, {condition}"
            judge.add(variant, ask(spec, model, networks, condition), spec.sampler_steps, keep=variant)
    return judge.measured


V2V = Experiment(
    name="v2v",
    title="Video to video (Table 2)",
    claim="Motion in the input noise shows up in the generated video, with a dense condition and even without one.",
    axis=None,
    models=both_models,
    measure=measure,
    metrics=JUDGED,
)
