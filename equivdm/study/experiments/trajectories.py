"""Figures 4 and 5a: how straight the way from noise to video is, and how far."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from equivdm.arrays import Frames
from equivdm.backbones.base import Conditions, Denoiser
from equivdm.metrics import Case
from equivdm.metrics import measure as measure_video
from equivdm.metrics.trajectory import noise_to_video_distance, straightness
from equivdm.study.asking import Asked, sample_clips
from equivdm.study.clips import Clip, build_clips
from equivdm.study.config import ExperimentSpec
from equivdm.study.experiment import Experiment, Measured, Networks, Row
from equivdm.study.recipes import CONDITIONS, ask, both, both_models
from equivdm.types import Latents, Times


class Recorder:
    """A denoiser that keeps where it was asked, and what it said."""

    def __init__(self, denoiser: Denoiser) -> None:
        self._denoiser = denoiser
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.path, self.predictions, self.times = list[Latents](), list[Latents](), list[Times]()

    def __call__(self, latents: Latents, times: Times, conditions: Conditions) -> Latents:
        prediction = self._denoiser(latents, times, conditions)
        self.path.append(latents)
        self.predictions.append(prediction)
        self.times.append(times)
        return prediction


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
    recorder = Recorder(asked.network)
    for sampled in sample_clips(asked._replace(network=recorder), clips, max(spec.step_counts), spec.draws):
        # Networks predict eps - x_0, which on the straight path is the velocity.
        path = torch.stack([*(x.cpu() for x in recorder.path), sampled.latents])
        velocities = torch.stack([each.cpu() for each in recorder.predictions])
        times = torch.cat([*recorder.times, torch.zeros(1, device=asked.device)]).cpu()
        recorder.forget()
        yield Row(variant, None, "straightness", sampled.clip, straightness(path, velocities, times).item())
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
