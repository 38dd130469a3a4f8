"""Windows in closed form."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equivdm.config import ClipConfig
from equivdm.video.probe import probe
from equivdm.video.shots import Shot
from equivdm.video.windows import windows


def _regular(count: int, fps: float) -> np.ndarray:
    return np.arange(count) / fps


def test_without_a_rate_frames_are_consecutive() -> None:
    found = windows(_regular(10, 25.0), 25.0, ClipConfig(frames=4))
    assert [window.frames for window in found] == [(0, 1, 2, 3), (4, 5, 6, 7)]
    assert [window.index for window in found] == [0, 1]
    assert {window.fps for window in found} == {25.0}


def test_stride_overlaps_windows_and_reaches_the_last_frame() -> None:
    found = windows(_regular(10, 25.0), 25.0, ClipConfig(frames=4, stride=2))
    assert [window.frames[0] for window in found] == [0, 2, 4, 6]
    assert found[-1].frames[-1] == 9


@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_short_a_video_has_none(count: int) -> None:
    assert windows(_regular(count, 25.0), 25.0, ClipConfig(frames=4)) == []
    assert windows(_regular(count, 25.0), 25.0, ClipConfig(frames=4, fps=25.0)) == []


@pytest.mark.parametrize(("fps", "step"), [(25.0, 1), (12.5, 2), (5.0, 5)])
@pytest.mark.parametrize("start", [0.0, 0.171])
def test_a_rate_that_divides_takes_every_nth_frame(fps: float, step: int, start: float) -> None:
    (window, *_) = windows(start + _regular(60, 25.0), 25.0, ClipConfig(frames=4, fps=fps))
    assert window.frames == tuple(range(0, 4 * step, step))
    assert window.fps == fps


def test_stamps_rounded_to_milliseconds_lose_no_frame() -> None:
    stamps = np.round(_regular(90, 29.97), 3)
    (window,) = windows(stamps, 29.97, ClipConfig(frames=90, fps=29.97))
    assert window.frames == tuple(range(90))


def test_the_nearest_earlier_frame_by_its_stamp() -> None:
    stamps = np.array([0.0, 0.5, 0.6, 0.7, 2.0, 2.1])
    (window,) = windows(stamps, 3.0, ClipConfig(frames=5, fps=2.0))
    assert window.frames == (0, 1, 3, 3, 4)


def test_many_windows_are_thinned_evenly_and_keep_their_numbers() -> None:
    stamps = _regular(100, 25.0)
    every = windows(stamps, 25.0, ClipConfig(frames=4))
    kept = windows(stamps, 25.0, ClipConfig(frames=4, max_windows=5))
    assert [window.index for window in kept] == [2, 7, 12, 17, 22]
    assert all(every[window.index] == window for window in kept)
    assert windows(stamps, 25.0, ClipConfig(frames=4, max_windows=99)) == every
    assert [window.index for window in windows(stamps, 25.0, ClipConfig(frames=4, max_windows=1))] == [12]


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="rising"):
        windows(np.array([1.0, 0.5]), 25.0, ClipConfig())
    with pytest.raises(ValueError, match="positive"):
        windows(np.array([0.0, 0.5]), 0.0, ClipConfig())
    for shot in (Shot(0, 3), Shot(-1, 1), Shot(1, 1)):
        with pytest.raises(ValueError, match="of a video of 2 frames"):
            windows(np.array([0.0, 0.5]), 25.0, ClipConfig(), [shot])


def test_windows_lie_within_one_shot_and_count_on() -> None:
    shots = [Shot(0, 9), Shot(9, 12), Shot(12, 17)]
    found = windows(_regular(17, 25.0), 25.0, ClipConfig(frames=4, height=32, width=48), shots)
    assert [window.frames for window in found] == [(0, 1, 2, 3), (4, 5, 6, 7), (12, 13, 14, 15)]
    assert [(window.index, window.shot) for window in found] == [(0, 0), (1, 0), (2, 2)]
    assert {(window.height, window.width) for window in found} == {(32, 48)}


def test_resampling_starts_anew_in_every_shot() -> None:
    found = windows(_regular(20, 24.0), 24.0, ClipConfig(frames=3, fps=8.0), [Shot(0, 10), Shot(10, 20)])
    assert [window.frames for window in found] == [(0, 3, 6), (10, 13, 16)]
    # At twice the rate a frame is shown twice, and the last one of a shot is never that of the next.
    doubled = windows(_regular(8, 24.0), 24.0, ClipConfig(frames=7, fps=48.0), [Shot(0, 4), Shot(4, 8)])
    assert [window.frames for window in doubled] == [(0, 0, 1, 1, 2, 2, 3), (4, 4, 5, 5, 6, 6, 7)]


def test_thinning_goes_over_all_shots() -> None:
    shots = [Shot(0, 8), Shot(8, 40)]
    every = windows(_regular(40, 25.0), 25.0, ClipConfig(frames=4), shots)
    kept = windows(_regular(40, 25.0), 25.0, ClipConfig(frames=4, max_windows=2), shots)
    assert [window.index for window in kept] == [2, 7]
    assert all(every[window.index] == window for window in kept)


clips = st.builds(
    ClipConfig,
    frames=st.integers(2, 6),
    stride=st.none() | st.integers(1, 7),
    max_windows=st.none() | st.integers(1, 4),
)
some = settings(max_examples=60, derandomize=True)


@some
@given(st.integers(0, 40), clips)
def test_windows_lie_within_the_video_a_stride_apart(count: int, clip: ClipConfig) -> None:
    found = windows(_regular(count, 25.0), 25.0, clip)
    whole = max(0, (count - clip.frames) // (clip.stride or clip.frames) + 1)
    assert len(found) == min(whole, clip.max_windows or whole)
    for window in found:
        start = window.index * (clip.stride or clip.frames)
        assert window.frames == tuple(range(start, start + clip.frames))
        assert window.frames[-1] < count
    assert sorted({window.index for window in found}) == [window.index for window in found]


@some
@given(st.lists(st.integers(1, 400), min_size=1, max_size=30), st.sampled_from([2.0, 7.5, 24.0, 30.0]))
def test_at_each_time_the_frame_that_is_shown_then_is_taken(gaps_ms: list[int], fps: float) -> None:
    """Against a search through all stamps; a stamp may be a millisecond late, as containers round them."""
    stamps = np.cumsum(gaps_ms) / 1000
    found = windows(stamps, 25.0, ClipConfig(frames=2, stride=1, fps=fps))
    shown = [window.frames[0] for window in found] + [window.frames[1] for window in found[-1:]]
    times = [stamps[0] + k / fps for k in range(len(shown))]
    assert shown == [max(i for i, stamp in enumerate(stamps) if stamp <= time + 1e-3) for time in times]
    assert stamps[-1] + 1e-3 < stamps[0] + max(2, len(shown)) / fps or len(shown) == 0


@some
@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), clips, st.none() | st.sampled_from([10.0, 25.0, 40.0]))
def test_shots_are_as_separate_videos(lengths: list[int], clip: ClipConfig, fps: float | None) -> None:
    clip = clip.model_copy(update={"fps": fps, "max_windows": None})
    bounds = [0, *(int(bound) for bound in np.cumsum(lengths))]
    shots = [Shot(start, stop) for start, stop in pairwise(bounds)]
    stamps = _regular(bounds[-1], 25.0)
    found = windows(stamps, 25.0, clip, shots)
    alone = [
        (number, tuple(shot.start + frame for frame in window.frames))
        for number, shot in enumerate(shots)
        for window in windows(stamps[shot.start : shot.stop], 25.0, clip)
    ]
    assert [(window.shot, window.frames) for window in found] == alone
    assert [window.index for window in found] == list(range(len(found)))


def test_irregular_and_fast_files(assets: Path) -> None:
    stamps = probe(str(assets / "hard" / "synth" / "vfr_irregular.mp4")).timestamps
    shots = [Shot(0, 20), Shot(20, 48)]
    found = windows(stamps, 10.47, ClipConfig(frames=4, fps=10.0), shots)
    for number, shot in enumerate(shots):
        shown = [frame for window in found if window.shot == number for frame in window.frames]
        times = [stamps[shot.start] + k / 10 + 1e-3 for k in range(len(shown))]
        own = range(shot.start, shot.stop)
        assert len(shown) >= 4
        assert shown == [max(frame for frame in own if stamps[frame] <= time) for time in times]
    fast = probe(str(assets / "hard" / "synth" / "fps_240.mp4"))
    (first, second) = windows(fast.timestamps, fast.fps, ClipConfig(frames=3, fps=30.0), [Shot(0, 24), Shot(24, 48)])
    assert (first.frames, second.frames) == ((0, 8, 16), (24, 32, 40))
