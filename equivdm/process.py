"""Noise processes x_t = a(t) x_0 + b(t) eps, with t from 0 (data) to 1 (noise)."""

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from equivdm.backbones.base import per_sample
from equivdm.networks.videocrafter2.process import STEPS, as_timesteps, weights
from equivdm.types import Times

T_MIN, T_MAX = 0.001, 0.999
"""Range of the time in training on the straight path (from FastGen, a library of the same authors; not the paper's)."""

Weight = Float[Tensor, "batch 1 1 1 1"]
"""One number per sample, as it multiplies latents."""


@runtime_checkable
class Process(Protocol):
    """How much data and how much noise there is at each time. A process is a value: equal ones are the same."""

    start: ClassVar[float]
    """Noisiest time: where sampling starts, from nothing but noise."""
    last_signal: ClassVar[float]
    """Noisiest time with some data left: a > 0."""
    levels: ClassVar[int | None]
    """How many times it tells apart; None: any."""

    def weights(self, times: Times) -> tuple[Weight, Weight]:
        """Return a(t) and b(t)."""
        ...

    def draw_times(self, batch: int, generator: torch.Generator) -> Times:
        """Return one time of training per sample, on the generator's device."""
        ...


@dataclass(frozen=True)
class Straight:
    """x_t = (1 - t) x_0 + t eps: flow matching's path (Lipman et al. 2023, Liu et al. 2023)."""

    start: ClassVar[float] = 1.0
    last_signal: ClassVar[float] = T_MAX
    levels: ClassVar[int | None] = None

    def weights(self, times: Times) -> tuple[Weight, Weight]:
        """Return 1 - t and t."""
        t = per_sample(times)
        return 1 - t, t

    def draw_times(self, batch: int, generator: torch.Generator) -> Times:
        """Return t ~ U[T_MIN, T_MAX]."""
        uniform = torch.rand(batch, generator=generator, device=generator.device)
        return T_MIN + (T_MAX - T_MIN) * uniform


@dataclass(frozen=True)
class VideoCrafter2Process:
    """VideoCrafter2's 1000 noise levels, t = k / 1000. Even the noisiest one, k = 999, keeps 0.05 of the data."""

    start: ClassVar[float] = (STEPS - 1) / STEPS
    last_signal: ClassVar[float] = (STEPS - 1) / STEPS
    levels: ClassVar[int | None] = STEPS

    def weights(self, times: Times) -> tuple[Weight, Weight]:
        """Return sqrt(abar_k) c_k and sqrt(1 - abar_k) of the nearest level."""
        return weights(as_timesteps(times))

    def draw_times(self, batch: int, generator: torch.Generator) -> Times:
        """Return levels, all equally likely."""
        return torch.randint(STEPS, (batch,), generator=generator, device=generator.device) / STEPS


def shift_times(times: Times, shift: float) -> Times:
    """Return shift t / (1 + (shift - 1) t), within [T_MIN, T_MAX]: above 1 more times of the straight path are noisy.

    Stable Diffusion 3's shift (Esser et al. 2024, arXiv 2403.03206, eq. 23), as samplers apply it to their steps.
    """
    return times if shift == 1 else (shift * times / (1 + (shift - 1) * times)).clamp(T_MIN, T_MAX)
