"""Likeness to a reference: closed forms, and the published formula written out for one window."""

import numpy as np
import pytest

from equivdm.metrics import Case, measure
from equivdm.metrics.coherence import CEILING
from equivdm.metrics.fidelity import psnr, ssim


def noise(seed: int, frames: int = 3, size: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).integers(10, 200, (frames, size, size, 3), np.uint8)


def test_a_video_is_like_itself() -> None:
    video = noise(0)
    assert measure(Case(video, reference=video), ["psnr", "ssim"]) == {"psnr": CEILING, "ssim": pytest.approx(1)}


def test_psnr_of_whole_levels_has_its_closed_form_and_is_a_mean_over_frames() -> None:
    video, levels = noise(1), np.array([1, 4, 20], np.uint8)
    case = Case(video + levels[:, None, None, None], reference=video)
    assert psnr(case) == pytest.approx(np.mean(20 * np.log10(255 / levels)))


def test_ssim_of_flat_pictures_is_that_of_their_brightness_alone() -> None:
    """(2 a b + C1) / (a^2 + b^2 + C1) with C1 = (0.01 * 255)^2."""
    first, second = (np.full((2, 20, 20, 3), level, np.uint8) for level in (60, 120))
    constant = 2.55**2
    expected = (2 * 60 * 120 + constant) / (60**2 + 120**2 + constant)
    assert ssim(Case(first, reference=second)) == pytest.approx(expected, rel=1e-6)


def test_ssim_is_its_formula_in_the_one_window_of_a_small_picture() -> None:
    """Of 11 x 11 px one Gaussian window lies within the picture."""
    first, second = noise(2, 1, 11), noise(3, 1, 11)
    bell = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.outer(bell, bell)[..., None] / bell.sum() ** 2

    def mean(values: np.ndarray) -> np.ndarray:
        return (values * window).sum((0, 1))

    a, b = first[0].astype(float), second[0].astype(float)
    spread_a, spread_b = mean(a * a) - mean(a) ** 2, mean(b * b) - mean(b) ** 2
    together = mean(a * b) - mean(a) * mean(b)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    expected = (2 * mean(a) * mean(b) + c1) * (2 * together + c2)
    expected /= (mean(a) ** 2 + mean(b) ** 2 + c1) * (spread_a + spread_b + c2)
    assert ssim(Case(first, reference=second)) == pytest.approx(expected.mean(), rel=1e-6)


def test_noise_costs_structure_that_brightness_does_not() -> None:
    video = noise(4) // 2 + 40
    brighter = Case(video + np.uint8(8), reference=video)
    signs = np.random.default_rng(5).choice(np.array([-8, 8]), video.shape)
    noisy = Case((video + signs).astype(np.uint8), reference=video)
    assert psnr(noisy) == pytest.approx(psnr(brighter))
    assert ssim(noisy) < ssim(brighter)
