"""The generator against its published vectors, and the table of normals."""

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from equivdm.noise import MotionPlan
from equivdm.noise.normals import ONE, independent_noise, normal_table
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
    assert philox(counter, key[1] << 32 | key[0]) == words


def philox(counter: tuple[int, ...], key: int) -> tuple[int, ...]:
    """The four words of one counter."""
    low, high, third = (np.array([word], np.uint32).view(np.int32) for word in counter[:3])
    out = np.empty(4, np.uint32)
    philox4x32(low, high, third, np.uint64(counter[3]), np.uint64(key), out)
    return tuple(out.tolist())


def one_particle(path: int, channels: int, seed: int) -> np.ndarray:
    """Noise of the one particle (birth 9, site 0, path) in the one cell: its values, in the table's unit."""
    one = [np.array([number], np.int32) for number in (9, 0, path, 0, 1, 0)]
    noise = MotionPlan((1, 1), (0,), 1, *one).noise(seed, channels)
    return noise.reshape(-1) * ONE


def words_of(path: int, group: int, seed: int) -> np.ndarray:
    """The eight normals of a counter, looked up one by one."""
    drawn = philox((0, 9, path, group << 4 | Stream.VALUES), seed)
    halves = [half for word in drawn for half in (word & 0xFFFF, word >> 16)]
    return normal_table()[halves].astype(np.int64)


def test_values_are_the_words_in_order() -> None:
    seed = 0x299F31D0A4093822
    wanted = np.concatenate([words_of(1, group, seed) for group in (0, 1)])
    assert one_particle(1, 11, seed).tolist() == wanted[:11].tolist()


def test_fewer_channels_are_the_first_of_more() -> None:
    more = one_particle(1, 48, seed=7)
    for channels in (1, 7, 8, 9):
        np.testing.assert_array_equal(one_particle(1, channels, seed=7), more[:channels])


def test_children_are_white_and_sum_up_to_their_parent() -> None:
    channels = 40_000
    parent = one_particle(1, channels, seed=5)
    children = np.stack([one_particle(4 + child, channels, seed=5) for child in range(4)])
    # Each is rounded to a whole number of the table's unit, halves to even.
    assert np.abs(children.sum(0) / 2 - parent).max() <= 1
    covariance = children @ children.T / channels / ONE**2
    np.testing.assert_allclose(covariance, np.eye(4), atol=4.5 * np.sqrt(2 / channels))
    assert np.abs(np.mean(children, 1)).max() / ONE < 4.5 / np.sqrt(channels)
    assert np.mean((children / ONE) ** 4) == pytest.approx(3, abs=4.5 * np.sqrt(96 / channels))
    first = words_of(1, 0, 5), *(words_of(path, 0, 5) for path in (5, 6, 7))
    np.testing.assert_allclose(children[2, :8], (first[0] - first[1] + first[2] - first[3]) / 2, atol=0.5)


def test_grandchildren_sum_up_to_their_parent_too() -> None:
    parent = one_particle(6, 64, seed=5)
    children = np.stack([one_particle(24 + child, 64, seed=5) for child in range(4)])
    assert np.abs(children.sum(0) / 2 - parent).max() <= 1


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


def test_a_longer_or_deeper_draw_of_independent_noise_begins_with_the_shorter_one() -> None:
    long = independent_noise((5, 9, 6, 7), seed=4)
    for frames, channels in ((1, 1), (2, 3), (5, 4), (3, 9)):
        np.testing.assert_array_equal(independent_noise((frames, channels, 6, 7), seed=4), long[:frames, :channels])


@pytest.mark.parametrize("shape", [(0, 1, 2, 3), (1, 2, 3), (1, 1, 1, -1)])
def test_a_shape_without_a_cell_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises((ValueError, TypeCheckError), match=r"^shape: got .*, wanted four positive numbers|type"):
        independent_noise(shape, seed=0)  # type: ignore[arg-type]


def test_one_number_is_a_noise_too() -> None:
    draws = np.array([independent_noise((1, 1, 1, 1), seed).item() for seed in range(2000)])
    assert abs(draws.mean()) < 4 / np.sqrt(2000)
    assert abs(draws.var() - 1) < 4 * np.sqrt(2 / 2000)
