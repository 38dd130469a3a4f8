"""Looks in closed form, and those of hard files."""

from pathlib import Path

import numpy as np
import pytest

from equivdm.video.decode import decode
from equivdm.video.looks import Looks, measure_looks
from equivdm.video.probe import probe


def _grey(*levels: int, height: int = 40, width: int = 60) -> np.ndarray:
    """One even grey frame per level."""
    return np.stack([np.full((height, width, 3), level, np.uint8) for level in levels])


@pytest.mark.parametrize("level", [0, 24, 25, 128, 255])
def test_even_frames(level: int) -> None:
    dark = 1.0 if level <= 24 else 0.0
    want = Looks(
        brightness=float(level),
        contrast=0.0,
        black=dark,
        black_frames=dark,
        change=0.0,
        frozen=1.0,
        bar_rows=dark,
        bar_columns=dark,
    )
    assert measure_looks(_grey(level, level, level)) == want


def test_luma_is_that_of_bt601() -> None:
    colours = np.zeros((3, 16, 16, 3), np.uint8)
    for channel in range(3):
        colours[channel, ..., channel] = 255
    means = [measure_looks(frame[None]).brightness for frame in colours]
    np.testing.assert_allclose(means, [0.299 * 255, 0.587 * 255, 0.114 * 255], atol=0.5)


def test_half_black() -> None:
    frames = _grey(200, 200)
    frames[:, :, :30] = 0
    looks = measure_looks(frames)
    assert (looks.brightness, looks.contrast, looks.black, looks.black_frames) == (100, 100, 0.5, 0)
    assert (looks.bar_rows, looks.bar_columns) == (0, 0.5)


def test_a_frame_with_little_light_is_black() -> None:
    frames = _grey(0, 0, 200, 200)
    frames[0].reshape(-1, 3)[:48] = 255  # 2% of 2400 pixels
    frames[1].reshape(-1, 3)[:49] = 255
    assert measure_looks(frames).black_frames == 0.25


def test_change_is_the_mean_over_steps_and_frozen_the_share_of_still_ones() -> None:
    looks = measure_looks(_grey(10, 10, 40, 40, 20))
    assert (looks.change, looks.frozen) == ((30 + 20) / 4, 0.5)
    assert measure_looks(_grey(90)).change == measure_looks(_grey(90)).frozen == 0


def test_a_shifted_pattern_changes_by_its_steps() -> None:
    stripes = np.tile(np.repeat(np.array([50, 150], np.uint8), 4), 8)[None, :, None].repeat(32, 0).repeat(3, 2)
    looks = measure_looks(np.stack([np.roll(stripes, shift, axis=1) for shift in range(4)]))
    # Of every four columns one goes from one level to the other.
    assert (looks.change, looks.frozen) == (25, 0)
    assert looks.contrast == 50


def test_something_small_that_moves_is_motion() -> None:
    frames = _grey(*[100] * 9, height=160, width=160)
    for step, frame in enumerate(frames):
        frame[80:84, 10 * step : 10 * step + 4] = 200
    looks = measure_looks(frames)
    assert looks.change < 0.2
    assert looks.frozen == 0


def test_bars_are_what_stays_black_from_the_edges() -> None:
    frames = _grey(0, 0, 0, height=50, width=40)
    frames[0, 10:20] = 99
    frames[2, 35:45, 5:30] = 99
    looks = measure_looks(frames)
    assert looks.bar_rows == pytest.approx(15 / 50)  # ten above, five below; those between are lit now and then
    assert looks.bar_columns == 0
    assert measure_looks(frames[1:]).bar_columns == pytest.approx(15 / 40)


def test_no_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        measure_looks(np.zeros((0, 8, 8, 3), np.uint8))


def _looks(assets: Path, name: str) -> Looks:
    path = str(assets / "hard" / "synth" / f"{name}.mp4")
    return measure_looks(decode(path, range(len(probe(path).timestamps)), (96, 128)))


def test_hard_files(assets: Path) -> None:
    black, static, plain = (_looks(assets, name) for name in ("black", "static", "baseline"))
    assert (black.brightness, black.black_frames, black.frozen, black.bar_rows) == (0, 1, 1, 1)
    assert (static.black_frames, static.frozen) == (0, 1)
    assert static.change < 0.05
    assert (plain.black_frames, plain.frozen, plain.bar_rows) == (0, 0, 0)
    assert 90 < plain.brightness < 120
    assert plain.change > 5


def test_a_video_that_stops_for_a_while_is_frozen_for_that_share(assets: Path) -> None:
    """Frames 16 to 32 of 48 are one picture: 16 of 47 steps."""
    assert _looks(assets, "frozen_middle").frozen == pytest.approx(16 / 47)


def test_letterbox_bars(assets: Path) -> None:
    looks = _looks(assets, "letterbox")
    assert looks.bar_rows == pytest.approx(0.25, abs=0.06)
    assert looks.bar_columns < 0.03  # the clip has a dark edge of its own
