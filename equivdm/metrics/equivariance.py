"""Does a denoiser's output move with its input?

Theorem 4.1 of the paper: for V^(k) = T_k V^(0), noised with eps^(k) = T_k eps^(0), the minimiser of the ordinary
denoising loss has D^(k) = T_k D^(0).
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from equivdm.types import Latents

Pictures = Float[Tensor, "*any height width"]

Transform = Callable[[Pictures], Pictures]
"""A motion of the whole picture. It is best exact: whole pixels on a torus, quarter turns, flips. NaN says that a place
is not known, since it was out of sight."""


def equivariance_error(outputs: Latents, transforms: Sequence[Transform]) -> Float[Tensor, " batch"]:
    """sum_k ||D^(k) - T_k D^(0)||^2 / sum_k ||D^(k)||^2 over the frames k >= 1, for each sample,
    where T_k D^(0) is known.

    0 is equivariant; 2 is what frames have that know nothing of each other, whatever their size.

    Args:
        outputs: what the denoiser makes of the noised video, D^(0), D^(1), ...: its estimates of x_0.
        transforms: T_1, T_2, ...: from frame 0 to each of the others.

    Raises:
        ValueError: for another number of transforms, or none.
    """
    first, others = outputs[:, :, 0].double(), outputs[:, :, 1:].double()
    if len(transforms) != others.shape[2] or not transforms:
        raise ValueError(
            f"got {len(transforms)} transforms for {outputs.shape[2]} frames, wanted one a frame but the first"
        )
    moved = torch.stack([transform(first) for transform in transforms], dim=2)
    gaps, sizes = (each.square().where(~moved.isnan(), 0).flatten(1).sum(1) for each in (others - moved, others))
    return gaps / sizes
