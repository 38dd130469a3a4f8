"""Normal numbers in fixed point, drawn by counter: the same bits on every machine."""

from functools import cache
from math import sqrt
from statistics import NormalDist

import numpy as np
from jaxtyping import Float32, Int32

from equivdm.arrays import NoiseArray
from equivdm.compiled import constant, kernel
from equivdm.noise.checks import check_seed
from equivdm.noise.philox import GROUP, GROUP_SHIFT, WORDS, NormalTable, Stream, Sums, Words, philox4x32

ONE = 1 << 12
"""The number 1 in the fixed point of the table: 12 fraction bits."""

_AT_ONCE = 128  # cells whose sums are read channel by channel


@cache
def normal_table() -> NormalTable:
    """Return the 65,536 mid-quantiles of N(0, 1), rescaled to unit variance, in fixed point; exactly antisymmetric."""
    normal = NormalDist()
    upper = np.array([normal.inv_cdf((2 * i + 1) / (1 << 17)) for i in range(1 << 15, 1 << 16)])
    fixed = np.rint(upper * (ONE / sqrt(np.mean(upper**2)))).astype(np.int16)
    table = np.concatenate([-fixed[::-1], fixed])
    return constant(table)


def independent_noise(shape: tuple[int, int, int, int], seed: int, first: int = 0) -> NoiseArray:
    """Return float32 noise of shape (frames, channels, height, width), iid N(0, 1), from a stream of its own.

    It is what `MotionPlan.noise` mixes in for the frames first, first + 1, ... and the same seed.
    """
    if len(shape) != 4 or min(shape) < 1:
        raise ValueError(f"shape: got {shape}, wanted four positive numbers (frames, channels, height, width)")
    check_seed(seed)
    frames, channels, height, width = shape
    out = np.empty((frames, channels, height * width), np.float32)
    numbers = np.arange(first, first + frames, dtype=np.int32)
    write_mixed(None, None, numbers, (0, groups_of(channels)), seed, 0.0, out)
    return out.reshape(shape)


def groups_of(channels: int) -> int:
    """Return the number of groups of channels that are drawn together."""
    return -(-channels // GROUP)


def write_mixed(
    sums: Sums | None,
    scale: Float32[np.ndarray, "frames cells"] | None,
    numbers: Int32[np.ndarray, " frames"],
    groups: tuple[int, int],
    seed: int,
    beta: float,
    out: Float32[np.ndarray, "frames channels cells"],
) -> None:
    """Write `groups` (from, to) of channels of beta * (sums * scale) + sqrt(1 - beta^2) * independent noise.

    The latter belongs to (cell, number of the frame). `sums` are those of `add_values`; None stands for 0.
    """
    channels = slice(GROUP * groups[0], GROUP * groups[1])
    for frame, number in enumerate(numbers.tolist()):
        here = out[frame, channels]
        if sums is None or scale is None:
            here[:] = 0
        else:
            _write_scaled(sums[frame], scale[frame], np.float32(beta), here)
        if beta < 1:
            share = np.float32(sqrt(1 - beta * beta)) / np.float32(ONE)
            for group in range(*groups):
                bits = _independent_bits(out.shape[2], number, group, seed)
                _add_fresh(bits, normal_table(), share, here[GROUP * (group - groups[0]) :][:GROUP])


def _independent_bits(cells: int, number: int, group: int, seed: int) -> Words:
    bits = np.empty(WORDS * cells, np.uint32)
    low, high, third = np.arange(cells, dtype=np.int32), np.full(cells, number, np.int32), np.zeros(cells, np.int32)
    philox4x32(low, high, third, np.uint64(Stream.INDEPENDENT | group << GROUP_SHIFT), np.uint64(seed), bits)
    return bits


@kernel
def _write_scaled(
    sums: Int32[np.ndarray, "cells numbers"],
    scale: Float32[np.ndarray, " cells"],
    share: np.float32,
    out: Float32[np.ndarray, "channels cells"],
) -> None:
    """Write the scaled sums, which lie cell by cell, channel by channel.

    A few cells at a time: their sums stay in the innermost cache from one channel to the next.
    """
    width, every = sums.shape[1], sums.reshape(-1)
    for first in range(0, out.shape[1], _AT_ONCE):
        for channel in range(out.shape[0]):
            row = out[channel]
            for cell in range(first, min(first + _AT_ONCE, out.shape[1])):
                row[np.uint64(cell)] = (
                    np.float32(every[np.uint64(channel + width * cell)]) * scale[np.uint64(cell)] * share
                )


@kernel
def _add_fresh(bits: Words, table: NormalTable, share: np.float32, out: Float32[np.ndarray, "channels cells"]) -> None:
    """Add `share` times the normals of the words, of which each cell has four."""
    for channel in range(out.shape[0]):
        row, shift = out[channel], np.uint32(16 * (channel & 1))
        for cell in range(out.shape[1]):
            half = bits[np.uint64(WORDS * cell + (channel >> 1))] >> shift & np.uint32(0xFFFF)
            row[cell] += np.float32(table[half]) * share
