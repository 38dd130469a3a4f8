"""The schemes that the engine is compared with: each keeps still noise, and is as white as its paper says."""

import subprocess
import sys
import time
from collections.abc import Callable
from subprocess import PIPE

import numpy as np
import pytest
import torch

from benchmarks import noise as benchmark
from benchmarks import preprocess, scaling, seams, sizing, table_log, training
from benchmarks.cpu import CpuSeconds
from benchmarks.figures import Figure, run_python
from equivdm.backbones.tiny.codec import TinyCodec
from equivdm.blend import blend
from equivdm.config import Bucket
from equivdm.noise import peers
from equivdm.spans import lay_spans

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


@pytest.mark.parametrize(
    ("case", "bars"),
    [
        pytest.param("a", 4, marks=[pytest.mark.ray, pytest.mark.slow]),
        pytest.param("b", 2, marks=pytest.mark.slow),
        pytest.param("c", 2, marks=pytest.mark.slow),
        pytest.param("d", 2, marks=pytest.mark.ray),
        ("e", 2),
    ],
)
def test_every_case_of_preprocess_runs_at_small_sizes(case: str, bars: int) -> None:
    """They check their own counts, and raise where a job did something else than was to be measured."""
    figures = preprocess.measure(case, quick=True, clips=2)
    assert sum(figure.wanted is not None for figure in figures) == bars
    assert all(figure.measured > 0 for figure in figures if figure.wanted is not None)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("case", ["a", "b"])
def test_every_case_of_training_runs_at_small_sizes(case: str) -> None:
    (figure,) = training.measure(case, quick=True)
    assert figure.wanted is not None
    assert figure.measured > 0


def test_a_log_is_measured_beside_the_librarys() -> None:
    memory, seconds = table_log.measure(1_000)
    assert seconds.measured > 0
    assert "bytes" in memory.floor


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize(("case", "figures"), [("a", 1), ("b", 3)])
def test_every_case_of_scaling_runs_at_small_sizes(case: str, figures: int) -> None:
    """It raises where an item does not end as it should."""
    assert len(scaling.measure(case, quick=True)) == figures


def test_a_clip_of_more_frames_takes_more_operations() -> None:
    short, long = (sizing.operations(Bucket(frames=frames, height=96, width=96)) for frames in (5, 9))
    assert all(short[name] < long[name] for name in short)
    assert short["render: 50 steps, guidance"] > 25 * short["render: one step, no guidance"]


@pytest.mark.parametrize(("measured", "least", "met"), [(1, False, True), (3, False, False), (3, True, True)])
def test_a_bar_is_a_most_or_a_least(measured: float, least: bool, met: bool) -> None:
    assert Figure("x", "anything", measured, 2, least).met is met


def test_the_peak_of_a_process_is_its_own() -> None:
    """Not that of the larger one that it was forked from."""
    held = np.ones(2**26)
    small, large = run_python("print(1)"), run_python("held = bytearray(b'x') * 2**28")
    assert small.output == "1"
    assert small.peak_gib < held.nbytes / 2**30 / 4
    assert 0.25 < large.peak_gib < 0.35


def test_cpu_seconds_are_those_of_the_block_and_its_children() -> None:
    with CpuSeconds() as cpu, subprocess.Popen([sys.executable, "-c", _BURN], stdin=PIPE, stdout=PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.6)  # it looks at its processes twice a second
        child.kill()
    assert 1.5 <= cpu.total < 2.5


# More than is asked for: the system counts in ticks, and leaves out a part of one.
_BURN = "import time\nwhile time.process_time() < 1.6: pass\nprint(flush=True)\ninput()"


def test_a_program_that_fails_is_no_measurement() -> None:
    with pytest.raises(RuntimeError, match="exit status 3"):
        run_python("raise SystemExit(3)")


def test_windows_that_are_cut_follow_each_other_in_the_middle_of_what_they_share() -> None:
    geometry = TinyCodec.geometry
    spans = lay_spans(30, 10, 4, geometry)
    frames = torch.arange(30.0).view(1, 1, 30, 1, 1)
    windows = [(span, frames[:, :, span.start : span.stop] + 100 * n) for n, span in enumerate(spans)]
    parts, steps = seams.cut(windows)
    joined = torch.cat(list(blend(parts, geometry)), dim=2).flatten()
    assert torch.equal(joined % 100, frames.flatten())
    assert steps == [7, 13, 19, 23] == torch.nonzero(joined.diff() > 1).flatten().tolist()
    assert seams.distance(windows) == 100
