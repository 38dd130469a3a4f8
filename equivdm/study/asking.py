"""What is asked of a model: samples as videos, and predictions at noisy videos."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from equivdm.arrays import Frames
from equivdm.backbones import backbone_of
from equivdm.backbones.base import Denoiser
from equivdm.backbones.tiny.codec import TinyCodec
from equivdm.config import SamplerConfig
from equivdm.metrics.trajectory import Path
from equivdm.sampling import sample
from equivdm.seeds import derive_seed
from equivdm.study.batches import conditions_of
from equivdm.study.clips import Clip
from equivdm.study.config import ModelSpec, NoiseSpec
from equivdm.study.noise import Noise
from equivdm.types import Latents
from equivdm.video.tensors import to_frames


class Asked(NamedTuple):
    """A model with all that decides what it is asked."""

    spec: ModelSpec
    network: Denoiser
    noise: NoiseSpec
    """Of its input: its own law, or another one."""
    control: bool
    """Whether it is shown the dense condition."""
    device: str


class Sampled(NamedTuple):
    """A sample of a clip."""

    clip: int
    """Number of the clip."""
    noise: Latents
    latents: Latents
    """Where the path ends that starts in `noise`; a batch of one."""
    path: Path

    @property
    def frames(self) -> Frames:
        return to_frames(TinyCodec().decode(self.latents)[0])


def sample_clips(asked: Asked, clips: Sequence[Clip], steps: int, draws: int = 1) -> Iterator[Sampled]:
    """Yield samples of each clip, `draws` each, by Euler steps.

    The noise of a clip and a draw has the same seed for every model of one `spec.seed`. A clip is a batch of its own.
    """
    noise, diffusion = Noise(asked.noise, clips, asked.spec.seed), backbone_of(asked.spec.backbone).diffusion()
    for number, clip in enumerate(clips):
        conditions = conditions_of([clip], [asked.control]).to(asked.device)
        for draw in range(draws):
            eps = noise(number, derive_seed(asked.spec.seed, "sample", number, draw))[None].to(asked.device)
            path, config = Path(), SamplerConfig(steps=steps)
            with torch.inference_mode():
                latents = sample(asked.network, eps, conditions, config, diffusion, watch=path)
            yield Sampled(number, eps.cpu(), latents.cpu(), path)


def predict_clean(asked: Asked, clip: Clip, eps: Latents, t: float) -> Latents:
    """Return D(x_t, t), the video that a model sees in x_t = a x_0 + b eps of a clip; a batch of one."""
    diffusion, times = backbone_of(asked.spec.backbone).diffusion(), torch.tensor([t], device=asked.device)
    x_t = diffusion.add_noise(clip.latents[None].to(asked.device), eps.to(asked.device), times)
    conditions = conditions_of([clip], [asked.control]).to(asked.device)
    with torch.inference_mode():
        return diffusion.clean(asked.network(x_t, times, conditions), x_t, times).cpu()
