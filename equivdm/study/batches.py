"""What a denoiser is given of a study's clips: batches of training, and the conditions of samples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from equivdm.backbones.base import Conditions
from equivdm.objective import Diffusion
from equivdm.process import shift_times
from equivdm.seeds import derive_seed
from equivdm.study.clips import Clip
from equivdm.study.noise import Noise
from equivdm.types import Latents, Times

FPS = 8.0
"""Frames a second that a network is told of."""


@dataclass(frozen=True)
class Batch:
    """Some samples."""

    latents: Latents
    noises: tuple[Latents, ...]
    """Independent draws along the clips' motion."""
    times: Times
    conditions: Conditions


@dataclass(frozen=True)
class Batches:
    """The batches of a training: each is a pure function of its number."""

    clips: Sequence[Clip]
    noise: Noise
    diffusion: Diffusion
    seed: int
    size: int
    control_share: float
    device: str
    draws: int = 1
    """Of noise a sample."""
    shift: float = 1.0
    """Of the times."""

    def __call__(self, number: int) -> Batch:
        """Return batch `number`, counted from 0."""
        chosen = [self._clip(number * self.size + slot) for slot in range(self.size)]
        seeds = [derive_seed(self.seed, "noise", number, slot) for slot in range(self.size)]
        noises = [
            torch.stack([self.noise(*each) for each in zip(chosen, self._redrawn(seeds, draw), strict=True)])
            for draw in range(self.draws)
        ]
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "times", number))
        times = shift_times(self.diffusion.draw_times(self.size, generator), self.shift)
        given = (torch.rand(self.size, generator=generator) < self.control_share).tolist()
        clips = [self.clips[number] for number in chosen]
        return Batch(
            torch.stack([clip.latents for clip in clips]).to(self.device),
            tuple(noise.to(self.device) for noise in noises),
            times.to(self.device),
            conditions_of(clips, given).to(self.device),
        )

    def _clip(self, place: int) -> int:
        """Return the clip at a place of the endless row of shuffled passes."""
        turn, index = divmod(place, len(self.clips))
        order = np.random.default_rng(derive_seed(self.seed, "order", turn)).permutation(len(self.clips))
        return int(order[index])

    @staticmethod
    def _redrawn(seeds: Sequence[int], draw: int) -> list[int]:
        return [derive_seed(seed, draw) for seed in seeds]


def conditions_of(clips: Sequence[Clip], given: Sequence[bool]) -> Conditions:
    """Return captions, and dense conditions of the clips that are `given` theirs: zeros say that there is none."""
    shown = [clip.control if kept else np.zeros_like(clip.control) for clip, kept in zip(clips, given, strict=True)]
    tokens = torch.from_numpy(np.stack([clip.tokens for clip in clips]))
    return Conditions(tokens, torch.from_numpy(np.stack(shown)), torch.full((len(clips),), FPS))
