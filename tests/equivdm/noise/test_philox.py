"""The generator against its published vectors, and the table of normals."""

import numpy as np
import pytest

from equivdm.noise.normals import ONE, independent_noise, normal_rows, normal_table
from equivdm.noise.philox import Stream, philox4x32

KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (
        (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
"""Philox4x32-10 in the file kat_vectors of Random123: counter, key, words."""


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_known_answers(counter: tuple[int, ...], key: tuple[int, ...], words: tuple[int, ...]) -> None:
    result = philox4x32(tuple(map(np.uint64, counter)), tuple(map(np.uint64, key)))
    assert tuple(map(int, result)) == words


def test_rows_are_the_words_in_order() -> None:
    seed = 0x299F31D0A4093822
    rows = normal_rows(np.array([5], np.int32), np.array([9], np.int32), 11, seed, Stream.VALUES)
    key = (np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32))
    halves = []
    for group in (0, 1):
        counter = (np.uint64(5), np.uint64(9), np.uint64(group), np.uint64(Stream.VALUES))
        for word in map(int, philox4x32(counter, key)):
            halves += [word & 0xFFFF, word >> 16]
    assert rows.tolist() == [normal_table()[halves[:11]].tolist()]


def test_fewer_channels_are_the_first_of_more() -> None:
    low, high = np.arange(20, dtype=np.int32), np.zeros(20, np.int32)
    more = normal_rows(low, high, 16, 7, Stream.VALUES)
    for channels in (1, 7, 8, 9):
        np.testing.assert_array_equal(normal_rows(low, high, channels, 7, Stream.VALUES), more[:, :channels])


def test_table_is_normal() -> None:
    table = normal_table().astype(np.float64) / ONE
    np.testing.assert_array_equal(table, -table[::-1])
    assert np.all(np.diff(table) >= 0)
    assert np.mean(table**2) == pytest.approx(1, abs=1e-6)
    # The outermost of 65,536 quantiles lies at 4.3: little of the fourth moment is beyond.
    assert np.mean(table**4) == pytest.approx(3, abs=0.01)


def test_independent_noise_is_white_over_frames_channels_and_cells() -> None:
    noise = independent_noise((6, 8, 40, 50), seed=11).astype(np.float64)
    error = 1 / np.sqrt(noise.size)
    assert abs(noise.mean()) < 4 * error
    assert abs((noise**2).mean() - 1) < 4 * np.sqrt(2) * error
    for axis in range(4):
        assert abs(np.mean(noise * np.roll(noise, 1, axis))) < 4 * error


def test_independent_noise_shares_nothing_with_another_seed() -> None:
    shape = (2, 4, 30, 40)
    one, other = independent_noise(shape, 1), independent_noise(shape, 2)
    assert abs(np.mean(one * other)) < 4 / np.sqrt(one.size)
    np.testing.assert_array_equal(one, independent_noise(shape, 1))
