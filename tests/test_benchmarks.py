"""The schemes that the engine is compared with: each keeps still noise, and is as white as its paper says."""

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks import noise as benchmark
from benchmarks import peers

GRID = (24, 32)
CHANNELS = 16
STILL = np.zeros((*GRID, 2), np.float32)


def first() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((CHANNELS, *GRID)).astype(np.float32)


def frames(scheme: str, flows: tuple[np.ndarray, np.ndarray]) -> list[np.ndarray]:
    return benchmark.PEERS[scheme](first(), flows, np.random.default_rng(0))


@pytest.mark.parametrize("scheme", benchmark.PEERS)
def test_still_material_keeps_its_noise(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "WARPS", 3)
    for frame in frames(scheme, (STILL, STILL)):
        np.testing.assert_allclose(frame, first(), atol=2e-5)


@pytest.mark.parametrize("scheme", [name for name in benchmark.PEERS if name != "bilinear"])
def test_a_turn_leaves_the_variance(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "WARPS", 6)
    size = (GRID[0] * benchmark.STRIDE, GRID[1] * benchmark.STRIDE)
    motion = benchmark.matrix("turn", size)
    there, back = (
        benchmark.at_cells(benchmark.flow_of(each, size), benchmark.STRIDE) for each in (motion, np.linalg.inv(motion))
    )
    variance, _ = benchmark.whiteness(frames(scheme, (there, back))[-1])
    middle = CHANNELS * GRID[0] * GRID[1] / 4
    assert variance == pytest.approx(1, abs=4.5 * np.sqrt(2 / middle))


def shift_of(pixels: int) -> tuple[np.ndarray, np.ndarray]:
    there = np.broadcast_to(np.array([pixels, 0], np.float32), (*GRID, 2)).copy()
    return there, -there


@pytest.mark.parametrize(
    "step",
    [
        peers.nearest,
        peers.bilinear,
        peers.brownian,
        lambda noise, *given: peers.GoWithTheFlow(noise).step(*given),
        lambda noise, *given: peers.IntegralNoise(noise, 4, given[-1]).step(*given),
    ],
    ids=["nearest", "bilinear", "brownian", "go_with_the_flow", "integral"],
)
def test_a_whole_pixel_is_a_shift(step: Callable[..., np.ndarray]) -> None:
    moved = step(first(), *shift_of(2), np.random.default_rng(0))
    np.testing.assert_allclose(moved[:, :, 4:-4], np.roll(first(), 2, axis=2)[:, :, 4:-4], atol=2e-5)


def test_tracking_of_a_shift_is_one_and_of_other_noise_none() -> None:
    motion = np.eye(3)
    motion[0, 2] = benchmark.STRIDE
    pair = [first(), np.roll(first(), 1, axis=2)]
    assert benchmark.tracking(pair, motion, 1) == pytest.approx(1)
    assert abs(benchmark.tracking([first(), first()[::-1]], motion, 1)) < 0.05
