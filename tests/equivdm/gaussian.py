"""Data whose velocity field and whose paths are known in closed form: independent Gaussian elements.

For x_0 ~ N(m, s^2) and x_t = (1 - t) x_0 + t eps, x_t ~ N((1 - t) m, r_t^2) with r_t^2 = (1 - t)^2 s^2 + t^2, and the
path of the ODE that begins in z at t = 1 is x_t = (1 - t) m + r_t z, so x_0 = m + s z.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from equivdm.backbones.base import Conditions
from equivdm.objective import Diffusion
from equivdm.process import Straight

NOTHING = Conditions(torch.zeros(1, 16, dtype=torch.int64), torch.zeros(1, 1, 2, 2))

FLOW = Diffusion(Straight(), "flow")


@dataclass
class Gaussian:
    """The denoiser of N(mean, deviation^2)."""

    mean: Tensor
    deviation: Tensor

    def __call__(self, latents: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
        """v = E[eps - x_0 | x_t] = -m + r'_t / r_t (x_t - (1 - t) m)."""
        t = times[:, None, None, None, None].to(latents)
        spread = (1 - t) ** 2 * self.deviation**2 + t**2
        slope = (t - (1 - t) * self.deviation**2) / spread
        return -self.mean + slope * (latents - (1 - t) * self.mean)


@dataclass
class Posterior:
    """The denoiser of N(mean, deviation^2) for any noise process and parameterisation."""

    mean: float
    deviation: float
    diffusion: Diffusion

    def __call__(self, latents: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
        """What the diffusion predicts of E[x_0 | x_t] and E[eps | x_t]: targets are linear in both."""
        a, b = self.diffusion.process.weights(times)
        share = (latents - a * self.mean) / (a**2 * self.deviation**2 + b**2)
        return self.diffusion.target(self.mean + a * self.deviation**2 * share, b * share, times)

    def end(self, noise: Tensor) -> Tensor:
        """The x_0 of the ODE's path that begins in `noise`: x_t = a m + r_t z, with r_t^2 = a^2 s^2 + b^2."""
        a, b = self.diffusion.process.weights(torch.full(noise.shape[:1], self.diffusion.start))
        return self.mean + self.deviation * (noise - a * self.mean) / (a**2 * self.deviation**2 + b**2).sqrt()
