"""Flow and noise as pictures."""

import numpy as np
import pytest

from equivdm.flow import flow_to_rgb
from equivdm.noise.colour import noise_colours


def rgb(u: float, v: float, largest: float = 2.0) -> list[int]:
    return flow_to_rgb(np.full((1, 1, 1, 2), (u, v), np.float32), largest)[0, 0, 0].tolist()


def test_rest_is_white_and_speed_saturates() -> None:
    assert rgb(0, 0) == [255, 255, 255]
    assert rgb(2, 0) == rgb(9, 0) == [255, 64, 64]
    half = rgb(1, 0)
    assert 64 < half[1] < 255


def test_opposite_directions_have_complementary_colours() -> None:
    for u, v in ((2, 0), (0, 2), (1.2, -1.6)):
        there, back = np.array(rgb(u, v)), np.array(rgb(-u, -v))
        assert np.abs(there + back - 255).max() <= 1


def test_one_stray_vector_does_not_bleach_the_rest() -> None:
    flow = np.full((1, 30, 30, 2), (1, 0), np.float32)
    flow[0, 0, 0] = (500, 0)
    np.testing.assert_array_equal(flow_to_rgb(flow)[0, 5:], flow_to_rgb(flow, 1.0)[0, 5:])


@pytest.mark.parametrize("largest", [0.0, -1.0])
def test_a_scale_that_is_not_positive_is_refused(largest: float) -> None:
    with pytest.raises(ValueError, match="pass a positive speed"):
        rgb(1, 1, largest)


def test_noise_is_grey_at_zero_and_ends_at_nearly_three_deviations() -> None:
    noise = np.zeros((1, 4, 1, 3), np.float32)
    noise[0, :, 0, 1], noise[0, 0, 0, 2] = 3, -3
    assert noise_colours(noise)[0, 0].tolist() == [[127, 127, 127], [255, 255, 255], [0, 127, 127]]


def test_noise_of_one_channel_is_grey() -> None:
    colours = noise_colours(np.random.default_rng(0).standard_normal((2, 1, 5, 6)).astype(np.float32))
    assert colours.shape == (2, 5, 6, 3)
    np.testing.assert_array_equal(colours[..., 0], colours[..., 2])


def test_noise_beyond_the_scale_is_clipped_and_further_channels_do_not_matter() -> None:
    noise = np.random.default_rng(0).normal(0, 50, (1, 6, 3, 4)).astype(np.float32)
    colours = noise_colours(noise)
    np.testing.assert_array_equal(colours[..., 0] == 255, noise[:, 0] >= 127.5 / 45)
    np.testing.assert_array_equal(colours, noise_colours(noise[:, :3]))


def test_half_precision_noise_is_painted_alike() -> None:
    noise = np.random.default_rng(1).standard_normal((2, 3, 8, 8)).astype(np.float16)
    np.testing.assert_array_equal(noise_colours(noise), noise_colours(noise.astype(np.float32)))
