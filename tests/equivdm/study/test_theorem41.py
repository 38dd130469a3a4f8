"""The equivariance of denoisers that are known in closed form."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from equivdm.backbones.base import Conditions, DenoiserModule
from equivdm.study.clips import build_clips
from equivdm.study.config import TINY
from equivdm.study.experiments.theorem41 import measure, models, subpixel_error


class OneByOne(DenoiserModule):
    """The best denoiser of independent N(0, 1) elements: E[x_0 | x_t] = a x_t / (a^2 + b^2)."""

    def forward(self, latents: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
        t = times[:, None, None, None, None]
        return (2 * t - 1) / ((1 - t) ** 2 + t**2) * latents


def test_what_treats_frames_alike_is_equivariant_under_noise_that_moves_and_else_as_wrong_as_the_noise(
    tmp_path: Path,
) -> None:
    networks = {model.key: OneByOne() for model in models(TINY, 0)}
    rows = measure(TINY, 0, networks, tmp_path).rows
    held = build_clips(TINY.exact, 0, tmp_path).held_out
    for row in rows:
        if row.metric != "equivariance_error" or row.clip is None or row.x is None:
            continue
        if row.variant in ("warped", "trained independent, asked warped"):
            assert row.value < 1e-10
        elif row.variant in ("independent", "trained warped, asked independent"):
            # D is linear: it errs by the difference of two draws, 2 b^2, out of a^2 x_0^2 + b^2.
            a, b = 1 - row.x, row.x
            power = a**2 * held[row.clip].latents.square().mean().item()
            assert row.value == pytest.approx(2 * b**2 / (power + b**2), rel=0.1)


def test_a_smooth_picture_that_moves_by_parts_of_a_cell_has_next_to_no_error() -> None:
    step, (y, x) = np.array([0.35, -0.6], np.float32), np.mgrid[0:32, 0:32]
    waves = [np.sin((x + k * step[0]) / 5) + np.cos((y + k * step[1]) / 6) for k in range(4)]
    moving = torch.from_numpy(np.stack(waves)[None].repeat(3, 0).astype(np.float32))
    # Frame k at p shows what frame 0 has at p + k * step.
    assert subpixel_error(moving, step) < 1e-4
    assert subpixel_error(moving, -step) > 0.05
    assert subpixel_error(moving.flip(1), step) > 0.05
