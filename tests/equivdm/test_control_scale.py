"""Conditions of long videos: one scale for a shot, whatever its chunks; a shot of one clip is that clip."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from equivdm.config import ControlConfig
from equivdm.control import build_control
from equivdm.control_scale import ControlScale, Histogram, control_scale, scaled_control
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


def drawn(seed: int) -> np.ndarray:
    """Numbers of all sizes and both signs, some of them alike."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(3, 7, 11)) * 10.0 ** random.integers(-9, 9, (3, 7, 11))
    return np.where(random.random(values.shape) < 0.1, 0, values).astype(np.float32)


def test_neither_order_nor_chunks_nor_another_process_change_a_bit(configs: dict[str, ControlConfig]) -> None:
    whole, first = ControlScale(configs["depth"]), ControlScale(configs["depth"])
    whole.add(FRAMES)
    for part in (FRAMES[7:9], FRAMES[:7]):
        first.add(part)
    resumed = ControlScale.from_bytes(first.to_bytes())
    resumed.add(FRAMES[9:])
    assert resumed.to_bytes() == whole.to_bytes()
    np.testing.assert_array_equal(resumed.histogram.counts, whole.histogram.counts)


@pytest.mark.parametrize("count", [1, 2, 231])
def test_percentiles_are_those_of_all_numbers_but_for_half_a_bin(count: int) -> None:
    values = drawn(3).ravel()[:count]
    histogram = Histogram()
    histogram.add(values[None, None])
    for share in (0.0, 1.0, 37.5, 50.0, 99.0, 100.0):
        ends = [np.percentile(values, share, method=method) for method in ("lower", "higher")]
        near = 1.01 * float(np.abs(ends).max()) / 4096 + 1e-35
        assert histogram.percentile(share) == pytest.approx(float(np.percentile(values, np.float64(share))), abs=near)


def scale_of(config: ControlConfig, *parts: np.ndarray) -> ControlScale:
    scale = control_scale(config)
    for part in parts:
        scale.add(part)
    return scale


@pytest.mark.parametrize("kind", KINDS)
def test_a_shot_of_one_clip_has_the_condition_of_the_clip(kind: str, configs: dict[str, ControlConfig]) -> None:
    config = configs[kind]
    found, wanted = scaled_control(config, scale_of(config, FRAMES))(FRAMES), build_control(config)(FRAMES)
    assert found.dtype == np.uint8
    if kind == "canny":  # a threshold that is a little off turns single pixels over
        assert (found != wanted).mean() < 1e-3
    else:
        assert np.abs(found.astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_windows_share_the_condition_of_frames_that_they_share(kind: str, configs: dict[str, ControlConfig]) -> None:
    control = scaled_control(configs[kind], scale_of(configs[kind], FRAMES[:5], FRAMES[5:]))
    whole = control(FRAMES)
    for first, stop in [(0, 8), (4, 12), (7, 8)]:
        np.testing.assert_array_equal(control(FRAMES[first:stop]), whole[first:stop])


@pytest.mark.parametrize("kind", ["soft_edge", "depth"])
def test_windows_by_their_own_scale_would_flicker(kind: str, configs: dict[str, ControlConfig]) -> None:
    """The reason for all this: of a shot that fades, the end is brighter in a clip of its own."""
    fading = (FRAMES * np.linspace(1, 0.3, len(FRAMES))[:, None, None, None]).astype(np.uint8)
    clip, shot = build_control(configs[kind]), scaled_control(configs[kind], scale_of(configs[kind], fading))
    assert np.abs(clip(fading[:8])[4:].astype(int) - clip(fading[4:])[:4]).mean() > 2
    np.testing.assert_array_equal(shot(fading[:8])[4:], shot(fading[4:])[:4])


@pytest.mark.parametrize("kind", ["soft_edge", "canny", "depth"])
def test_a_flat_shot_is_black_and_a_flat_window_of_another_is_not_stretched(
    kind: str, configs: dict[str, ControlConfig]
) -> None:
    dull = np.random.default_rng(0).integers(128, 130, (3, 48, 64, 3), np.uint8) if kind != "depth" else FRAMES[:3] * 0
    assert not scaled_control(configs[kind], scale_of(configs[kind], dull))(dull).any()
    control = scaled_control(configs[kind], scale_of(configs[kind], dull, FRAMES))
    assert len(np.unique(control(dull))) < 4
    assert len(np.unique(control(FRAMES))) > 1


def test_what_is_no_scale_or_of_nothing_or_of_another_condition_is_refused(configs: dict[str, ControlConfig]) -> None:
    config = configs["soft_edge"]
    with pytest.raises(ValueError, match=r"^control: got no frame to scale by, wanted at least one: add the frames of"):
        scaled_control(config, control_scale(config))
    with pytest.raises(
        ValueError, match=r"^control: got the scale of ControlConfig\(kind='soft_edge', .*: take it anew$"
    ):
        scaled_control(configs["canny"], scale_of(config, FRAMES))
    for damaged in (
        b"",
        scale_of(config, FRAMES).to_bytes()[:-9],
        b"abc",
        zlib.compress(b"{}\nabc"),
        zlib.compress(b"["),
    ):
        with pytest.raises(ValueError, match=r"^control: the \d+ bytes are no scale of a shot; take it anew$"):
            ControlScale.from_bytes(damaged)
