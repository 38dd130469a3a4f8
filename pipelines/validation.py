"""Validation within a training: the averaged weights sample videos for held-out clips, and these are measured.

It is a pure function of weights, clips and settings, on the first worker while the others wait, and leaves the
training's weights, optimizers and random numbers alone.
"""

import os
import tempfile
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from equivdm.arrays import Frames
from equivdm.backbones import backbone_of
from equivdm.backbones.base import Codec, Conditions, DenoiserModule
from equivdm.backbones.deferred import give, materialise
from equivdm.config import BackboneConfig, NoiseConfig, SamplerConfig
from equivdm.metrics import OF_MOTION, Case, measure
from equivdm.objective import Diffusion
from equivdm.sampling import check_sampler, sample
from equivdm.seeds import derive_seed
from equivdm.types import Latents
from equivdm.video.tensors import to_frames
from equivdm.video.write import write_video
from pipelines.clips import MOTION_COLUMNS, locate, motion_of, read_parts, select_clips
from pipelines.config import DistillJob, TrainJob
from pipelines.engines import frozen
from pipelines.fit_config import ValidateConfig
from pipelines.loader import Batch, ClipReader, Loader, SampleConfig
from pipelines.shown import conditions_of
from pipelines.store import Store
from pipelines.tables import Row
from pipelines.validated import ValidatedClip, ValidationRecord, step_folder, write_validation

TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Diffusion times of the validation loss."""


@dataclass(frozen=True)
class Validation:
    """What is sampled, and how."""

    store: Store
    key: str
    """Of the model to come; its folder takes the videos."""
    config: ValidateConfig
    clips: tuple[Row, ...]
    seed: int
    build: Callable[[], DenoiserModule]
    """Returns the network that the weights are of, its own yet to be read; leaves the global random numbers alone."""
    backbone: BackboneConfig
    diffusion: Diffusion
    noise: NoiseConfig
    sampler: SamplerConfig
    has_loss: bool
    """Whether the denoising loss says something: a student has none."""
    renoise: NoiseConfig | None = None
    """What a student takes between its steps."""

    def __call__(self, weights: Mapping[str, Tensor], step: int, device: torch.device) -> dict[str, float]:
        """Return the means over the clips of loss and metrics, and write the videos, with weights after some steps."""
        denoiser = deepcopy(self._network)
        give(denoiser, weights)  # of adapters these alone: their base is read
        network, backbone = frozen(materialise(denoiser, device), device), backbone_of(self.backbone)
        reader = ClipReader(self.store, [clip["key"] for clip in self.clips], backbone.geometry)
        codec = backbone.build_codec(device)
        clips = []
        for clip, files in zip(self.clips, locate(self.store, self.clips, MOTION_COLUMNS), strict=True):
            frames, found = self._sampled(network, codec, reader, clip["key"], device)
            motion = motion_of(read_parts(self.store, files, MOTION_COLUMNS))
            figures = found | measure(Case(frames, motion, self.config.flow), OF_MOTION)
            clips.append(ValidatedClip(key=clip["key"], file=self._put(frames, clip, step), figures=figures))
        record = ValidationRecord(step=step, clips=tuple(clips))
        write_validation(self.store, self.key, record)
        return {f"val_{name}": value for name, value in record.figures.items()}

    @cached_property
    def _network(self) -> DenoiserModule:
        """The network, built once: while it is, all other workers wait. What files hold of it is read each time."""
        return self.build().eval()

    def _sampled(
        self, network: Callable[..., Tensor], codec: Codec, reader: ClipReader, key: str, device: torch.device
    ) -> tuple[Frames, dict[str, float]]:
        """Return the video of a clip, and its loss where that says something."""
        batch = self._draws(reader, key).to(device)
        with torch.inference_mode():
            empty = conditions_of([reader(key).shown], text=[False], control=[True]).to(device)
            frames = to_frames(codec.decode(self._sample(network, batch, empty))[0])
            return frames, {"loss": self._loss(network, batch)} if self.has_loss else {}

    def _draws(self, reader: ClipReader, key: str) -> Batch:
        seed = derive_seed(self.seed, "validate")
        draws = max(len(TIMES), self.sampler.steps if self.sampler.kind == "renoise" else 1)
        samples = SampleConfig(seed, 1, self.noise, self.diffusion, draws, renoise=self.renoise)
        return Loader(samples, [key], reader).batch(0)

    def _sample(self, network: Callable[..., Tensor], batch: Batch, empty: Conditions) -> Latents:
        first, fresh = batch.noises[0], batch.noises.__getitem__
        return sample(network, first, batch.conditions, self.sampler, self.diffusion, empty, fresh)

    def _loss(self, network: Callable[..., Tensor], batch: Batch) -> float:
        """Return the loss of one clip, mean over the fixed times, each with a draw of noise of its own."""
        times = torch.tensor(TIMES, device=batch.latents.device)
        losses = [
            self.diffusion.loss(network, batch.latents, noise, time[None], batch.conditions)
            for noise, time in zip(batch.noises, times, strict=True)
        ]
        return torch.stack(losses).mean().item()

    def _put(self, frames: Frames, clip: Row, step: int) -> str:
        """Write a clip's video and return its name."""
        name = f"{os.path.basename(clip['path'])}_{clip['window']}_{clip['key'][:8]}.mp4"
        with tempfile.TemporaryDirectory(prefix="equivdm-") as folder:
            local = os.path.join(folder, "video.mp4")
            write_video(local, frames, clip["fps"])
            self.store.put(local, step_folder(self.key, step), name)
        return name


def plan_validation(job: TrainJob | DistillJob, store: Store, key: str, **facts: Any) -> Validation | None:
    """Return the validation of the model of a key; None where the job has none.

    `facts` are what builds its network, and backbone, diffusion, noise, sampler, and whether its loss says something.

    Raises UsageError where the selection of clips holds none, or the sampler does not go with the diffusion.
    """
    config = job.fit.validation
    if config is None:
        return None
    data = config.data.model_copy(update={"clips": config.data.clips or job.data.clips})
    clips = tuple(select_clips(store, data))
    facts["sampler"] = config.sampler or facts["sampler"]
    check_sampler(facts["sampler"], facts["diffusion"])
    return Validation(store, key, config, clips, job.fit.seed, **facts)
