"""Times of frames: rates, stamps, parts, and what cannot be."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equivdm.video.timing import Timing

STEPS = st.lists(st.integers(1, 5000), min_size=1, max_size=12)


@given(steps=STEPS, first=st.integers(0, 9000), origin=st.integers(-5, 5), data=st.data())
def test_a_part_keeps_lengths_and_its_place_in_the_sound(
    steps: list[int], first: int, origin: int, data: st.DataObject
) -> None:
    ticks = first + np.cumsum([0, *steps[:-1]])
    whole = Timing(Fraction(25), Fraction(1, 600), ticks, steps[-1], Fraction(origin, 7))
    start = data.draw(st.integers(0, len(steps) - 1))
    stop = data.draw(st.integers(start + 1, len(steps)))
    part = whole.part(start, stop)
    assert [part.length(k) for k in range(stop - start)] == steps[start:stop]
    assert part.at(0) == 0
    assert part.origin == whole.origin + ticks[start] * whole.time_base
    assert part.end == part.origin + sum(steps[start:stop]) * whole.time_base


def test_a_part_of_a_regular_video_is_regular() -> None:
    part = Timing.at_rate(12.5).part(25, 50)
    assert (part.ticks, part.at(3), part.length(3)) == (None, 3, 1)
    assert (part.origin, part.end) == (2, 4)


@pytest.mark.parametrize("fps", [Fraction(24000, 1001), Fraction(25, 2), Fraction(60), Fraction(1, 3)])
def test_a_rate_is_a_fraction(fps: Fraction) -> None:
    timing = Timing.at_rate(float(fps))
    assert (timing.rate, timing.time_base) == (fps, 1 / fps)


@pytest.mark.parametrize("ticks", [[], [-1, 2], [3, 3], [4, 2]])
def test_stamps_that_do_not_rise_are_refused(ticks: list[int]) -> None:
    with pytest.raises(ValueError, match="at least one, rising, from 0 up"):
        Timing(Fraction(25), Fraction(1, 25), np.array(ticks, np.int64))


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match=r"fps=0\.0"):
        Timing.at_rate(0.0)
    with pytest.raises(ValueError, match="positive"):
        Timing(Fraction(-1), Fraction(1, 25))
    with pytest.raises(ValueError, match="last frame of 0"):
        Timing(Fraction(1), Fraction(1), last=0)
    with pytest.raises(ValueError, match="got frames 2 to 4 of 3"):
        Timing(Fraction(1), Fraction(1), np.arange(3)).part(2, 4)
