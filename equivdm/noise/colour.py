"""Noise to look at."""

import numpy as np

from equivdm.arrays import Frames, NoiseArray


def noise_colours(noise: NoiseArray) -> Frames:
    """Paint the first three channels of noise as red, green and blue, one pixel a cell; one channel gives grey.

    0 is middle grey, and 2.8 standard deviations reach the end of the scale.
    """
    channels = [min(channel, noise.shape[1] - 1) for channel in range(3)]
    colours = 127.5 + 45 * noise[:, channels].astype(np.float32)
    return np.ascontiguousarray(np.clip(colours, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1))
