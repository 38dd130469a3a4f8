"""Buckets: the rule of choice, and windows of mixed videos."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equivdm.config import Bucket, ClipConfig
from equivdm.video.probe import probe
from equivdm.video.shots import Shot
from equivdm.video.windows import Shortage, choose_bucket, shortage, windows


def _bucket(height: int, width: int, frames: int = 16) -> Bucket:
    return Bucket(height=height, width=width, frames=frames)


WIDE, SQUARE, TALL = _bucket(90, 160), _bucket(120, 120), _bucket(160, 90)


@pytest.mark.parametrize(
    ("display", "want"),
    [((1080, 1920), WIDE), ((1920, 1080), TALL), ((500, 500), SQUARE), ((480, 640), SQUARE), ((400, 600), WIDE)],
)
def test_the_nearest_shape(display: tuple[int, int], want: Bucket) -> None:
    """In the logarithm 16:9 and 1:1 meet at 4:3 exactly; a hair wider than that is wide."""
    for buckets in permutations([WIDE, SQUARE, TALL]):
        chosen = choose_bucket(buckets, display, 16)
        assert chosen == want or (display == (480, 640) and chosen in (WIDE, SQUARE))


def test_shape_comes_before_length() -> None:
    """A short wide shot does not become a tall clip because the tall bucket is short."""
    assert choose_bucket([_bucket(90, 160, 81), TALL], (1080, 1920), 40) is None
    assert choose_bucket([_bucket(90, 160, 81), TALL], (1080, 1920), 81) == _bucket(90, 160, 81)


SIZES = [_bucket(90, 160), _bucket(180, 320), _bucket(360, 640), _bucket(720, 1280)]


@pytest.mark.parametrize(
    ("display", "height"),
    [((1080, 1920), 720), ((720, 1280), 720), ((719, 1280), 360), ((200, 356), 180), ((45, 80), 90)],
)
def test_the_largest_size_that_needs_no_enlarging(display: tuple[int, int], height: int) -> None:
    for buckets in permutations(SIZES):
        chosen = choose_bucket(buckets, display, 16)
        assert chosen is not None
        assert chosen.height == height


@pytest.mark.parametrize(("frames", "want"), [(15, None), (16, 16), (48, 16), (49, 49), (80, 49), (81, 81), (999, 81)])
def test_the_longest_that_the_shot_fills(frames: int, want: int | None) -> None:
    chosen = choose_bucket([_bucket(90, 160, length) for length in (49, 81, 16)], (1080, 1920), frames)
    assert (chosen and chosen.frames) == want


def test_size_comes_before_length_and_filling_before_both() -> None:
    large, long = _bucket(180, 320, 17), _bucket(90, 160, 81)
    assert choose_bucket([long, large], (1080, 1920), 100) == large
    assert choose_bucket([long, large], (100, 178), 100) == long
    assert choose_bucket([long, large], (1080, 1920), 16) is None


@given(st.lists(st.builds(_bucket, *[st.integers(16, 200)] * 2, st.integers(2, 30)), min_size=2, max_size=6))
def test_a_video_of_a_buckets_own_size_and_length_fills_one_of_that_shape_and_size(buckets: list[Bucket]) -> None:
    for own in buckets:
        chosen = choose_bucket(buckets, (own.height, own.width), own.frames)
        assert chosen is not None
        assert (chosen.height, chosen.width) == (own.height, own.width)
        assert chosen.frames <= own.frames


def test_several_buckets_need_the_displayed_size() -> None:
    assert choose_bucket([WIDE], None, 16) == WIDE
    for display in (None, (0, 4)):
        with pytest.raises(ValueError, match=r"2 buckets .* a height and width"):
            choose_bucket([WIDE, TALL], display, 16)


def _lengths(path: Path, clip: ClipConfig) -> list[tuple[int, int, int, int]]:
    """(shot, frames, height, width) of the windows of a file cut in two shots of 30 and the rest."""
    info = probe(str(path))
    shots = [Shot(0, 30), Shot(30, len(info.timestamps))]
    found = windows(info.timestamps, info.fps, clip, shots, (info.display_height, info.display_width))
    return [(window.shot, len(window.frames), window.height, window.width) for window in found]


def test_each_shot_of_a_file_has_its_bucket(assets: Path) -> None:
    synth = assets / "hard" / "synth"
    clip = ClipConfig(buckets=(_bucket(120, 160, 8), _bucket(120, 160, 25), _bucket(160, 120, 9), _bucket(120, 213, 8)))
    assert _lengths(synth / "baseline.mp4", clip) == [(0, 25, 120, 160), (1, 8, 120, 160), (1, 8, 120, 160)]
    assert _lengths(synth / "rotate_90.mp4", clip) == [(0, 9, 160, 120)] * 3 + [(1, 9, 160, 120)] * 2


@pytest.mark.parametrize(
    ("name", "stored", "display"),
    [
        ("synth/rotate_90.mp4", (320, 240), (320, 240)),
        ("synth/sar_4_3.mp4", (240, 320), (240, 427)),
        ("synth/odd_size_428x238.mp4", (238, 428), (238, 428)),
        ("synth/tall_64x720.mp4", (720, 64), (720, 64)),
        ("real/rotated_90.mov", (568, 320), (568, 320)),
    ],
)
def test_the_displayed_size(assets: Path, name: str, stored: tuple[int, int], display: tuple[int, int]) -> None:
    info = probe(str(assets / "hard" / name))
    assert (info.height, info.width) == stored
    assert (info.display_height, info.display_width) == display


@pytest.mark.parametrize(
    ("name", "want"),
    [("rotate_90", _bucket(160, 120)), ("sar_4_3", WIDE), ("odd_size_428x238", WIDE), ("tall_64x720", TALL)],
)
def test_buckets_of_hard_files(assets: Path, name: str, want: Bucket) -> None:
    info = probe(str(assets / "hard" / "synth" / f"{name}.mp4"))
    clip = ClipConfig(buckets=(SQUARE, WIDE, TALL, _bucket(160, 120), _bucket(120, 160)))
    found = windows(info.timestamps, info.fps, clip, None, (info.display_height, info.display_width))
    assert {(window.height, window.width) for window in found} == {(want.height, want.width)}


def test_why_there_is_no_window() -> None:
    stamps, clip = np.arange(40) / 25, ClipConfig(frames=16)
    assert shortage(stamps[:15], clip, [Shot(0, 15)]) == Shortage("too_short", 15, 16)
    assert shortage(stamps[:0], clip, []) == Shortage("too_short", 0, 16)
    cut = [Shot(0, 10), Shot(10, 25), Shot(25, 40)]
    assert windows(stamps, 25.0, clip, cut) == []
    assert shortage(stamps, clip, cut) == Shortage("shots_too_short", 15, 16)
    assert shortage(stamps, clip, []) == Shortage("shots_too_short", 0, 16)
    assert shortage(stamps, clip, [Shot(0, 16), Shot(16, 40)]) is None
    slow = clip.model_copy(update={"fps": 5.0})
    assert shortage(stamps, slow, cut) == Shortage("too_short", 8, 16)
    mixed = ClipConfig(buckets=(_bucket(90, 160, 41), _bucket(160, 90, 8)))
    assert shortage(stamps, mixed, cut, (90, 160)) == Shortage("too_short", 40, 41)
    assert shortage(stamps, mixed, cut, (160, 90)) is None
