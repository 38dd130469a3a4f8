"""How far and how straight a model goes from noise to video: the paper's figures 4 and 5a, in definitions of our own.

The paper gives no formulas. Both are per element of the latents, so that sizes compare, and one value a sample.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from equivdm.types import Latents

PerSample = Float[Tensor, " batch"]


def noise_to_video_distance(x_T: Latents, x_0: Latents) -> PerSample:
    """||x_T - x_0|| / sqrt(dim): from the noise that a sample began with to the video that came of it.

    Both are of unit variance where they know nothing of each other, which gives sqrt(2).
    """
    return (x_T - x_0).double().square().flatten(1).mean(1).sqrt()


class Path:
    """Steps from noise to video, of which only sums are kept: S = sum_i (t_i - t_(i+1)) mean |u - v_i|^2.

    u = (x_T - x_0) / (t_0 - t_n) is the velocity that would go straight from the first point to the last; 0 is a
    straight path. That is the integral over the path of how far the velocity is from u (Liu et al., "Flow Straight and
    Fast", arXiv 2209.03003, eq. 4, on a path that was taken). Velocities have the sign of this project,
    eps - x_0 = dx / dt: time falls from noise to video.
    """

    def __init__(self) -> None:
        self.steps, self._length, self._energy = 0, 0.0, torch.zeros(1, dtype=torch.float64)

    def __call__(self, velocity: Latents, t: float, t_next: float) -> None:
        """Take a first-order step along `velocity`. Raises ValueError for a time that does not fall."""
        if not t_next < t:
            raise ValueError(f"got a step from {t} to {t_next}, wanted a falling time: go from noise to video")
        squares = velocity.double().square().flatten(1).mean(1).cpu()
        self._energy = self._energy + (t - t_next) * squares
        self._length, self.steps = self._length + t - t_next, self.steps + 1

    def straightness(self, x_T: Latents, x_0: Latents) -> PerSample:
        """Return S, given both ends. How many steps there are decides the accuracy of the sum, not its scale.

        Since first-order steps add up to x_T - x_0, the sum is that of mean |v_i|^2 less mean |u|^2.

        Raises:
            ValueError: where no step was taken.
        """
        if not self.steps:
            raise ValueError("got no step, wanted one at least: follow first-order steps along velocities")
        whole = (x_T - x_0).double().square().flatten(1).mean(1).cpu()
        return (self._energy - whole / self._length).clamp_min(0)
