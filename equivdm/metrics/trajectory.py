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


def straightness(
    path: Float[Tensor, "_ batch channels time height width"],
    velocities: Float[Tensor, "_ batch channels time height width"],
    times: Float[Tensor, " _"],
) -> PerSample:
    """S = sum_i (t_i - t_(i+1)) mean |u - v_i|^2, with u = (x_T - x_0) / (t_0 - t_n): 0 for a straight path.

    That is the integral over the path of how far the velocity is from the one that would go straight from its first
    point to its last (Liu et al., "Flow Straight and Fast", arXiv 2209.03003, eq. 4, on a path that was taken).
    Velocities have the sign of this project, eps - x_0 = dx / dt: time falls from noise to video.

    Args:
        path: x at each of the times, from noise (x_T) to video (x_0).
        velocities: at each of the points but the last, from which a first-order step goes on.
        times: falling; how many there are decides the accuracy of the sum, not its scale.

    Raises:
        ValueError: for times that do not fall, or other numbers of points and steps.
    """
    steps = times[:-1] - times[1:]
    if len(path) != len(times) or len(velocities) != len(steps) or not len(steps) or not bool((steps > 0).all()):
        raise ValueError(
            f"got {len(path)} points, {len(velocities)} velocities and times {times.tolist()[:4]}..., wanted falling "
            "times, a point for each, and a velocity for each but the last"
        )
    straight = (path[0] - path[-1]).double() / (times[0] - times[-1]).double()
    gaps = torch.stack([(straight - velocity.double()).square().flatten(1).mean(1) for velocity in velocities])
    return (steps.double()[:, None] * gaps).sum(0)
