"""Textures that stand in for photographs."""

import numpy as np
import pytest

from equivdm.video.textures import PALETTES, PATTERNS, Muted, Style, fractal, paint, painted

EXTENT = (40.0, 64.0)


def picture(seed: int = 1, texels: float = 2.0, **changes: object) -> np.ndarray:
    style = Style(**{"pattern": "marbled", "palette": "teal", "period": 12.0, "contrast": 0.9, **changes})
    return paint(np.random.default_rng(seed), style, EXTENT, texels).picture


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_generator_in_the_same_state_paints_the_same_picture(pattern: str) -> None:
    one = picture(pattern=pattern)
    assert one.shape == (80, 128, 3)
    np.testing.assert_array_equal(one, picture(pattern=pattern))
    assert np.abs(one.astype(int) - picture(2, pattern=pattern)).mean() > 5


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_finer_picture_is_the_same_one_with_more_detail(pattern: str) -> None:
    coarse, fine = picture(pattern=pattern).astype(float), picture(pattern=pattern, texels=4.0).astype(float)
    shrunk = fine.reshape(80, 2, 128, 2, 3).mean(axis=(1, 3))
    assert np.corrcoef(shrunk.ravel(), coarse.ravel())[0, 1] > 0.9


def test_patterns_and_palettes_look_different() -> None:
    patterns = [picture(pattern=pattern).astype(int) for pattern in PATTERNS]
    palettes = [picture(palette=palette).astype(int) for palette in PALETTES]
    for looks in (patterns, palettes):
        for number, one in enumerate(looks):
            assert all(np.abs(one - other).mean() > 5 for other in looks[:number])


def test_contrast_is_the_spread_of_brightness() -> None:
    spreads = [picture(contrast=contrast).mean(-1).std() for contrast in (0.2, 0.6, 1.0)]
    assert spreads == sorted(spreads)
    assert spreads[-1] > 2 * spreads[0]


def test_fractal_noise_is_smooth_bounded_and_about_zero() -> None:
    plane = fractal(np.random.default_rng(0), (200.0, 200.0), 2.0, longest=24.0, gain=0.4)
    assert np.abs(plane).max() <= 1
    assert abs(plane.mean()) < 0.15
    assert np.abs(np.diff(plane, axis=1)).max() < 0.25


@pytest.mark.parametrize("changes", [{"pattern": "tartan"}, {"palette": "beige"}])
def test_an_unknown_look_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="choose from the patterns"):
        picture(**changes)


def test_muted_colours_have_less_chroma_and_the_same_brightness() -> None:
    style, grey = Style("clouded", "crimson", 12.0, 0.9), np.array([0.299, 0.587, 0.114])
    full, muted, none = (
        Muted(painted, saturation)(np.random.default_rng(3), style, EXTENT, 2.0)[0].picture.astype(float)
        for saturation in (1.0, 0.25, 0.0)
    )
    np.testing.assert_allclose(full, picture(3, pattern="clouded", palette="crimson"), atol=2)
    chroma = [each - (each @ grey)[..., None] for each in (full, muted)]
    np.testing.assert_allclose(chroma[1], 0.25 * chroma[0], atol=2)
    np.testing.assert_allclose(muted @ grey, full @ grey, atol=2)
    assert np.ptp(none, axis=-1).max() <= 1
