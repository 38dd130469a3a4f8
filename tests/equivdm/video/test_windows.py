"""Windows in closed form."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equivdm.config import ClipConfig
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


clips = st.builds(
    ClipConfig,
    frames=st.integers(2, 6),
    stride=st.none() | st.integers(1, 7),
    max_windows=st.none() | st.integers(1, 4),
)
some = settings(deadline=None, max_examples=60, derandomize=True)


@some
@given(st.integers(0, 40), clips)
def test_windows_lie_within_the_video_a_stride_apart(count: int, clip: ClipConfig) -> None:
    found = windows(_regular(count, 25.0), 25.0, clip)
    whole = max(0, (count - clip.frames) // clip.step + 1)
    assert len(found) == min(whole, clip.max_windows or whole)
    for window in found:
        start = window.index * clip.step
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
