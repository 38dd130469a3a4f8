"""Conditions of long videos: one scale for a shot, whatever its chunks; a shot of one clip is that clip."""

from pathlib import Path

import numpy as np
import pytest
import torch

from equivdm.config import ControlConfig
from equivdm.control import build_control, build_shot_control
from equivdm.control_scale import Histogram, Scale
from equivdm.video.synthetic import render_scene

KINDS = ["none", "grey", "soft_edge", "canny", "depth"]
FRAMES = render_scene(5, frames=12, height=48, width=64).frames


class Sides(torch.nn.Module):
    """ "Depth" that is known: red less blue."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures[:, 0] - pictures[:, 2]


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ControlConfig]:
    path: Path = tmp_path_factory.mktemp("depth") / "model.pt"
    torch.jit.script(Sides()).save(str(path))
    models = {"depth": str(path)}
    return {kind: ControlConfig.model_validate({"kind": kind, "model": models.get(kind)}) for kind in KINDS}


def counted(*parts: np.ndarray) -> Histogram:
    histogram = Histogram()
    for part in parts:
        histogram.add(part)
    return histogram


def drawn(seed: int) -> np.ndarray:
    """Numbers of all sizes and both signs, some of them alike."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(3, 7, 11)) * 10.0 ** random.integers(-9, 9, (3, 7, 11))
    return np.where(random.random(values.shape) < 0.1, 0, values).astype(np.float32)


def test_neither_order_nor_chunks_nor_another_process_change_a_bit() -> None:
    a, b = drawn(1), drawn(2)
    resumed = Histogram.from_bytes(counted(b[1:]).to_bytes())
    resumed.add(a)
    resumed.add(b[:1])
    whole = counted(np.concatenate([a, b]))
    np.testing.assert_array_equal(resumed.counts, whole.counts)
    assert resumed.to_bytes() == whole.to_bytes()


@pytest.mark.parametrize("count", [1, 2, 231])
def test_percentiles_are_those_of_all_numbers_but_for_half_a_bin(count: int) -> None:
    values = drawn(3).ravel()[:count]
    histogram = counted(values[None, None])
    for share in (0.0, 1.0, 37.5, 50.0, 99.0, 100.0):
        ends = [np.percentile(values, share, method=method) for method in ("lower", "higher")]
        near = float(np.abs(ends).max()) / 4096 + 1e-35
        assert histogram.percentile(share) == pytest.approx(
            float(np.percentile(values, np.float64(share))), abs=1.01 * near
        )


@pytest.mark.parametrize("kind", KINDS)
def test_a_shot_of_one_clip_has_the_condition_of_the_clip(kind: str, configs: dict[str, ControlConfig]) -> None:
    shot, histogram = build_shot_control(configs[kind]), Histogram()
    shot.measure(FRAMES, histogram)
    found, wanted = shot.paint(FRAMES, shot.scale(histogram)), build_control(configs[kind])(FRAMES)
    assert found.dtype == np.uint8
    if kind == "canny":  # a threshold that is a little off turns single pixels over
        assert (found != wanted).mean() < 1e-3
    else:
        assert np.abs(found.astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_windows_share_the_condition_of_frames_that_they_share(kind: str, configs: dict[str, ControlConfig]) -> None:
    shot, histogram = build_shot_control(configs[kind]), Histogram()
    for first in range(0, len(FRAMES), 5):
        shot.measure(FRAMES[first : first + 5], histogram)
    scale = shot.scale(histogram)
    whole = shot.paint(FRAMES, scale)
    for first, stop in [(0, 8), (4, 12), (7, 8)]:
        np.testing.assert_array_equal(shot.paint(FRAMES[first:stop], scale), whole[first:stop])


@pytest.mark.parametrize("kind", ["soft_edge", "depth"])
def test_windows_by_their_own_scale_would_flicker(kind: str, configs: dict[str, ControlConfig]) -> None:
    """The reason for all this: a shot that fades is brighter in a clip of its own."""
    fading = (FRAMES * np.linspace(1, 0.3, len(FRAMES))[:, None, None, None]).astype(np.uint8)
    clip, shot, histogram = build_control(configs[kind]), build_shot_control(configs[kind]), Histogram()
    shot.measure(fading, histogram)
    apart = np.abs(clip(fading[:8])[4:].astype(int) - clip(fading[4:])[:4]).mean()
    assert apart > 2
    first, second = (shot.paint(part, shot.scale(histogram)) for part in (fading[:8], fading[4:]))
    np.testing.assert_array_equal(first[4:], second[:4])


@pytest.mark.parametrize("kind", ["soft_edge", "canny", "depth"])
def test_a_flat_shot_is_black_and_a_flat_window_of_another_is_not_stretched(
    kind: str, configs: dict[str, ControlConfig]
) -> None:
    shot, flat, both = build_shot_control(configs[kind]), Histogram(), Histogram()
    dull = np.random.default_rng(0).integers(128, 130, (3, 48, 64, 3), np.uint8) if kind != "depth" else FRAMES[:3] * 0
    shot.measure(dull, flat)
    assert shot.scale(flat) is None
    assert not shot.paint(dull, None).any()
    for frames in (dull, FRAMES):
        shot.measure(frames, both)
    assert isinstance(shot.scale(both), Scale)
    assert len(np.unique(shot.paint(dull, shot.scale(both)))) < 4


def test_what_was_not_measured_and_what_is_no_histogram_are_refused(configs: dict[str, ControlConfig]) -> None:
    with pytest.raises(
        ValueError, match=r"^control: got no frame to scale by, wanted at least one: measure the shot fi"
    ):
        build_shot_control(configs["soft_edge"]).scale(Histogram())
    for damaged in (b"", Histogram().to_bytes()[:-9], b"abc"):
        with pytest.raises(ValueError, match=r"^control: the \d+ bytes are no histogram; measure the shot again$"):
            Histogram.from_bytes(damaged)
