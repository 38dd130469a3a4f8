"""Normal numbers in fixed point, drawn by counter: the same bits on every machine."""

from functools import cache
from math import sqrt
from statistics import NormalDist

import numpy as np
from jaxtyping import Int16, Int32

from equivdm.arrays import NoiseArray
from equivdm.noise.checks import check_channels, check_seed
from equivdm.noise.compiled import constant
from equivdm.noise.philox import Stream, lookups

ONE = 1 << 12
"""The number 1 in the fixed point of the table: 12 fraction bits."""


@cache
def normal_table() -> Int16[np.ndarray, " 65536"]:
    """Return the 65,536 mid-quantiles of N(0, 1), rescaled to unit variance, in fixed point; exactly antisymmetric."""
    normal = NormalDist()
    upper = np.array([normal.inv_cdf((2 * i + 1) / (1 << 17)) for i in range(1 << 15, 1 << 16)])
    fixed = np.rint(upper * (ONE / sqrt(np.mean(upper**2)))).astype(np.int16)
    table = np.concatenate([-fixed[::-1], fixed])
    return constant(table)


def normal_rows(
    low: Int32[np.ndarray, " n"], high: Int32[np.ndarray, " n"], channels: int, seed: int, stream: Stream
) -> Int16[np.ndarray, "n channels"]:
    """Return unit normals in fixed point (`ONE` is 1): row i belongs to the counter (low[i], high[i])."""
    check_channels(channels)
    check_seed(seed)
    rows = np.empty((len(low), channels), np.int16)
    lookups(constant(low), constant(high), int(stream), np.uint64(seed), normal_table(), rows)
    return rows


def independent_frames(frames: tuple[int, ...], channels: int, grid: tuple[int, int], seed: int) -> NoiseArray:
    """Return noise that is fresh in every cell of every frame, keyed by (frame number, cell); float32."""
    height, width = grid
    cells = np.arange(height * width, dtype=np.int32)
    out = np.empty((len(frames), channels, height, width), np.float32)
    for place, frame in enumerate(frames):
        rows = normal_rows(cells, np.full_like(cells, frame), channels, seed, Stream.INDEPENDENT)
        np.multiply(rows.T.reshape(channels, height, width), np.float32(1 / ONE), out=out[place])
    return out


def independent_noise(shape: tuple[int, int, int, int], seed: int) -> NoiseArray:
    """Return float32 noise of shape (frames, channels, height, width), iid N(0, 1), from a stream of its own.

    It is what `MotionPlan.noise` mixes in for the frames 0, 1, 2, ... and the same seed.
    """
    if len(shape) != 4 or min(shape) < 1:
        raise ValueError(f"shape: got {shape}, wanted four positive numbers (frames, channels, height, width)")
    frames, channels, height, width = shape
    return independent_frames(tuple(range(frames)), channels, (height, width), seed)
