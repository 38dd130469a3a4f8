"""Normal numbers in fixed point, drawn by counter: the same bits on every machine."""

from functools import cache
from math import sqrt
from statistics import NormalDist

import numpy as np
from jaxtyping import Float32, Int32, Int64

from equivdm.arrays import NoiseArray
from equivdm.noise.checks import check_seed
from equivdm.noise.compiled import constant
from equivdm.noise.philox import GROUP, LANES, NormalTable, write_noise

ONE = 1 << 12
"""The number 1 in the fixed point of the table: 12 fraction bits."""


@cache
def normal_table() -> NormalTable:
    """Return the 65,536 mid-quantiles of N(0, 1), rescaled to unit variance, in fixed point; exactly antisymmetric."""
    normal = NormalDist()
    upper = np.array([normal.inv_cdf((2 * i + 1) / (1 << 17)) for i in range(1 << 15, 1 << 16)])
    fixed = np.rint(upper * (ONE / sqrt(np.mean(upper**2)))).astype(np.int16)
    table = np.concatenate([-fixed[::-1], fixed])
    return constant(table)


def independent_noise(shape: tuple[int, int, int, int], seed: int) -> NoiseArray:
    """Return float32 noise of shape (frames, channels, height, width), iid N(0, 1), from a stream of its own.

    It is what `MotionPlan.noise` mixes in for the frames 0, 1, 2, ... and the same seed.
    """
    if len(shape) != 4 or min(shape) < 1:
        raise ValueError(f"shape: got {shape}, wanted four positive numbers (frames, channels, height, width)")
    check_seed(seed)
    frames, channels, height, width = shape
    out = np.empty((frames, channels, height * width), np.float32)
    numbers = np.arange(frames, dtype=np.int32)
    for group in range(groups(channels)):
        write_mixed(None, None, numbers, group, seed, 0.0, out)
    return out.reshape(shape)


def groups(channels: int) -> int:
    """Return the number of groups of channels that are drawn together."""
    return -(-channels // GROUP)


def write_mixed(
    sums: Int64[np.ndarray, "frames cells 4"] | None,
    scale: Float32[np.ndarray, "frames cells"] | None,
    numbers: Int32[np.ndarray, " frames"],
    group: int,
    seed: int,
    beta: float,
    out: Float32[np.ndarray, "frames channels cells"],
) -> None:
    """Write a group of channels of beta * (sums * scale) + sqrt(1 - beta^2) * independent noise; None stands for 0."""
    shape = (out.shape[0], out.shape[2])
    shares = (np.float32(beta), np.float32(sqrt(1 - beta * beta)) / np.float32(ONE))
    sums = np.zeros((*shape, LANES), np.int64) if sums is None else sums
    scale = np.zeros(shape, np.float32) if scale is None else scale
    write_noise(sums, scale, numbers, group, np.uint64(seed), normal_table(), shares, out)
