"""One draw of noise for a clip."""

import numpy as np
import pytest

from equivdm.config import NoiseConfig
from equivdm.noise import plan_motion
from pipelines.draw import draw_noise

SHAPE = (5, 4, 6, 8)
"""Channels, latent frames, height, width."""


@pytest.fixture(scope="module")
def still() -> bytes:
    return plan_motion(np.zeros((3, 48, 64, 2), np.float32), grid=(6, 8)).to_bytes()


def test_warped_noise_stands_still_where_the_clip_does(still: bytes) -> None:
    noise = draw_noise(still, SHAPE, NoiseConfig(kind="warped", beta=1.0), seed=3)
    assert noise.shape == SHAPE
    assert noise.dtype == np.float32
    for frame in range(1, SHAPE[1]):
        np.testing.assert_array_equal(noise[:, frame], noise[:, 0])


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9])
def test_the_share_of_warped_noise_is_what_two_frames_have_in_common(still: bytes, beta: float) -> None:
    config = NoiseConfig(kind="warped", beta=beta)
    draws = np.stack([draw_noise(still, SHAPE, config, seed) for seed in range(60)])
    shared = np.mean(draws[:, :, 0] * draws[:, :, 3])
    assert shared == pytest.approx(beta**2, abs=4.5 / np.sqrt(draws[:, :, 0].size))


def test_independent_noise_needs_no_plan_and_shares_nothing(still: bytes) -> None:
    config = NoiseConfig(kind="independent")
    noise = draw_noise(b"", SHAPE, config, seed=3)
    np.testing.assert_array_equal(noise, draw_noise(still, SHAPE, config, seed=3))
    assert abs(np.mean(noise[:, 0] * noise[:, 1])) < 4.5 / np.sqrt(noise[:, 0].size)


def test_a_draw_is_a_function_of_the_seed(still: bytes) -> None:
    for config in (NoiseConfig(), NoiseConfig(kind="independent")):
        one, again, other = (draw_noise(still, SHAPE, config, seed) for seed in (7, 7, 8))
        np.testing.assert_array_equal(one, again)
        assert abs(np.mean(one * other)) < 4.5 / np.sqrt(one.size / SHAPE[1])
