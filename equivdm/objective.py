"""What a denoiser predicts of x_t = a x_0 + b eps, and the ordinary denoising loss on it.

The paper trains with that loss; what makes it EquiVDM is that eps moves with the video. Nothing here knows which noise
it is given.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import mse_loss

from equivdm.backbones.base import Conditions, Denoiser
from equivdm.config import Parameterisation
from equivdm.process import Process, Weight
from equivdm.types import Latents, Times


def epsilon(x0: Latents, eps: Latents, a: Weight, b: Weight) -> Latents:
    """eps (Ho et al. 2020, DDPM)."""
    return eps


def invert_epsilon(p: Latents, x_t: Latents, a: Weight, b: Weight) -> tuple[Latents, Latents]:
    """x_0 = (x_t - b eps) / a: there must be some data left, a > 0."""
    return (x_t - b * p) / a, p


def v(x0: Latents, eps: Latents, a: Weight, b: Weight) -> Latents:
    """v = a eps - b x_0 (Salimans and Ho 2022, arXiv 2202.00512)."""
    return a * eps - b * x0


def invert_v(p: Latents, x_t: Latents, a: Weight, b: Weight) -> tuple[Latents, Latents]:
    """x_0 = (a x_t - b v) / (a^2 + b^2), eps = (b x_t + a v) / (a^2 + b^2): a^2 + b^2 need not be 1."""
    power = a**2 + b**2
    return (a * x_t - b * p) / power, (b * x_t + a * p) / power


def clean(x0: Latents, eps: Latents, a: Weight, b: Weight) -> Latents:
    """x_0."""
    return x0


def invert_clean(p: Latents, x_t: Latents, a: Weight, b: Weight) -> tuple[Latents, Latents]:
    """eps = (x_t - a x_0) / b: there must be some noise, b > 0."""
    return p, (x_t - a * p) / b


def flow(x0: Latents, eps: Latents, a: Weight, b: Weight) -> Latents:
    """u = eps - x_0, on the straight path its velocity dx_t / dt (Lipman et al. 2023, arXiv 2210.02747)."""
    return eps - x0


def invert_flow(p: Latents, x_t: Latents, a: Weight, b: Weight) -> tuple[Latents, Latents]:
    """x_0 = (x_t - b u) / (a + b), eps = (x_t + a u) / (a + b)."""
    return (x_t - b * p) / (a + b), (x_t + a * p) / (a + b)


TARGETS: dict[Parameterisation, Callable[[Latents, Latents, Weight, Weight], Latents]] = {
    "epsilon": epsilon,
    "v": v,
    "x0": clean,
    "flow": flow,
}
"""(x_0, eps, a, b) to what is predicted."""

INVERSIONS: dict[Parameterisation, Callable[[Latents, Latents, Weight, Weight], tuple[Latents, Latents]]] = {
    "epsilon": invert_epsilon,
    "v": invert_v,
    "x0": invert_clean,
    "flow": invert_flow,
}
"""(prediction, x_t, a, b) to (x_0, eps)."""


@dataclass(frozen=True)
class Diffusion:
    """A noise process and what its denoiser predicts. It holds no network: a value that goes into other processes."""

    process: Process
    """a(t) and b(t)."""
    predicts: Parameterisation
    """What the denoiser returns."""

    @property
    def start(self) -> float:
        """Time at which noise becomes video: the noisiest one at which the prediction says what x_0 is."""
        return self.process.last_signal if self.predicts == "epsilon" else self.process.start

    def draw_times(self, batch: int, generator: torch.Generator) -> Times:
        """Return one time of training per sample, on the generator's device."""
        return self.process.draw_times(batch, generator)

    def add_noise(self, x0: Latents, eps: Latents, times: Times) -> Latents:
        """x_t = a x_0 + b eps."""
        a, b = self.process.weights(times)
        return a * x0 + b * eps

    def target(self, x0: Latents, eps: Latents, times: Times) -> Latents:
        """Return what a denoiser should predict."""
        return TARGETS[self.predicts](x0, eps, *self.process.weights(times))

    def split(self, prediction: Latents, x_t: Latents, times: Times) -> tuple[Latents, Latents]:
        """Return the x_0 and eps that a prediction stands for; they add up to x_t."""
        return INVERSIONS[self.predicts](prediction, x_t, *self.process.weights(times))

    def clean(self, prediction: Latents, x_t: Latents, times: Times) -> Latents:
        """Return x_0 of a prediction: the posterior mean E[x_0 | x_t] where the denoiser is trained."""
        return self.split(prediction, x_t, times)[0]

    def velocity(self, prediction: Latents, x_t: Latents, times: Times) -> Latents:
        """Return eps - x_0 of a prediction."""
        if self.predicts == "flow":
            return prediction
        x0, eps = self.split(prediction, x_t, times)
        return eps - x0

    def loss(
        self, denoiser: Denoiser, x0: Latents, eps: Latents, times: Times, conditions: Conditions
    ) -> Float[Tensor, ""]:
        """L = E || D(x_t, t) - target ||^2, the mean over every element."""
        prediction = denoiser(self.add_noise(x0, eps, times), times, conditions)
        return mse_loss(prediction.float(), self.target(x0, eps, times).float())
