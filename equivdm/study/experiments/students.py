"""Table 3: students of one step."""

from pathlib import Path

from equivdm.study.clips import build_clips
from equivdm.study.config import ExperimentSpec, ModelSpec
from equivdm.study.experiment import Experiment, Measured, Networks
from equivdm.study.judging import JUDGED, Judge
from equivdm.study.recipes import CONDITIONS, ask, both, student_of


def models(spec: ExperimentSpec, seed: int) -> list[ModelSpec]:
    """Both teachers and their students."""
    teachers = both(spec, seed).values()
    return [*teachers, *(student_of(spec, teacher) for teacher in teachers)]


def measure(spec: ExperimentSpec, seed: int, networks: Networks, folder: Path) -> Measured:
    """Samples of the students in one step, and of their teachers in one and in many."""
    judge = Judge(spec, build_clips(spec.scenes, seed, folder).held_out)
    for name, teacher in both(spec, seed).items():
        asked = {
            f"{name} student": (student_of(spec, teacher), 1),
            f"{name} teacher, 1 step": (teacher, 1),
            f"{name} teacher, {spec.sampler_steps} steps": (teacher, spec.sampler_steps),
        }
        for label, (model, steps) in asked.items():
            for condition in CONDITIONS:
                variant = f"{label}, {condition}"
                judge.add(variant, ask(spec, model, networks, condition), steps, keep=variant)
    return judge.measured


STUDENTS = Experiment(
    name="students",
    title="One-step students (Table 3)",
    claim="A one-step student distilled with warped noise beats the one distilled with independent noise in motion and "
    "fidelity.",
    axis=None,
    models=models,
    measure=measure,
    metrics=JUDGED,
)
