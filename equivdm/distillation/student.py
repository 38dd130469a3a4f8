"""The student's videos: its own path from pure noise to one of its steps, and the video that it sees there."""

from collections.abc import Sequence

import torch

from equivdm.backbones.base import Conditions, Denoiser
from equivdm.objective import Diffusion
from equivdm.sampling import renoised
from equivdm.types import Latents, Times


def generate(
    student: Denoiser,
    noises: Sequence[Latents],
    steps: Sequence[float],
    conditions: Conditions,
    diffusion: Diffusion,
    walker: Denoiser | None = None,
) -> Latents:
    """Return the video that the student sees at the last of `steps`: the sampler `renoise`, cut short there.

    It gets there by its own steps from pure noise, without gradient: what it is trained on is what it will see (DMD2,
    section 4.5, backward simulation). The last step alone has a gradient.

    Args:
        student: what is trained.
        noises: its input, and a draw for each step after the first.
        steps: as many times, the first ones of `equivdm.sampling.sampling_times`.
        conditions: of the videos.
        diffusion: of the student.
        walker: the same network where it takes steps without gradient; the student itself where none is given.
    """
    walk = walker or student
    with torch.no_grad():
        x = renoised(
            lambda x, t: walk(x, _times(x, t), conditions), noises[0], steps, diffusion, lambda step: noises[step]
        )
    times = _times(x, steps[-1])
    return diffusion.clean(student(x, times, conditions), x, times)


def _times(x: Latents, t: float) -> Times:
    return torch.full((x.shape[0],), t, device=x.device)
