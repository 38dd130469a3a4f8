"""Figures 4 and 5a: how straight the way from noise to video is, and how far."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from equivdm.arrays import Frames
from equivdm.metrics import Case
from equivdm.metrics import measure as measure_video
from equivdm.metrics.trajectory import noise_to_video_distance
from equivdm.study.asking import Asked, sample_clips
from equivdm.study.clips import Clip, build_clips
from equivdm.study.config import ExperimentSpec
from equivdm.study.experiment import Experiment, Measured, Networks, Row
from equivdm.study.recipes import CONDITIONS, ask, both, both_models


def measure(spec: ExperimentSpec, seed: int, networks: Networks, folder: Path) -> Measured:
    """Paths of both models by as many Euler steps as the sweep of steps has at most.

    With what shortens them beside the model: the contrast of where they end, and how far the noise is from the driving
    clip.
    """
    clips, rows = build_clips(spec.scenes, seed, folder).held_out, list[Row]()
    for name, model in both(spec, seed).items():
        for condition in CONDITIONS:
            asked = ask(spec, model, networks, condition)
            rows += _of_paths(f"{name}, {condition}", asked, clips, spec)
    return Measured([*rows, *(_contrast("driving", number, clip.frames) for number, clip in enumerate(clips))])


def _of_paths(variant: str, asked: Asked, clips: Sequence[Clip], spec: ExperimentSpec) -> Iterator[Row]:
    for sampled in sample_clips(asked, clips, max(spec.step_counts), spec.draws):
        bend = sampled.path.straightness(sampled.noise, sampled.latents).item()
        yield Row(variant, None, "straightness", sampled.clip, bend)
        distance = noise_to_video_distance(sampled.noise, sampled.latents).item()
        yield Row(variant, None, "noise_to_video_distance", sampled.clip, distance)
        driving = noise_to_video_distance(sampled.noise, clips[sampled.clip].latents[None]).item()
        yield Row(variant, None, "noise_to_driving_distance", sampled.clip, driving)
        yield _contrast(variant, sampled.clip, sampled.frames)


def _contrast(variant: str, number: int, frames: Frames) -> Row:
    return Row(variant, None, "contrast", number, measure_video(Case(frames), ["contrast"])["contrast"])


TRAJECTORIES = Experiment(
    name="trajectories",
    title="The way from noise to video (Figures 4 and 5a)",
    claim="With warped noise the trajectories of generation are straighter, and the distance from noise to video is "
    "smaller.",
    axis=None,
    models=both_models,
    measure=measure,
    metrics=("straightness", "noise_to_video_distance", "noise_to_driving_distance", "contrast"),
)
