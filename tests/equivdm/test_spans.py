"""Windows cover every shot, in step with the latent grid, and no further than they must."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equivdm.backbones.geometry import Geometry
from equivdm.spans import Span, lay_spans, pieces_of, pieces_under, seams_of

CAUSAL = Geometry(channels=16, space_stride=8, time_stride=4, causal=True)
PLAIN = Geometry(channels=4, space_stride=8, time_stride=1, causal=False)

geometries = st.builds(
    Geometry, channels=st.just(4), space_stride=st.just(8), time_stride=st.integers(1, 5), causal=st.booleans()
)


@st.composite
def layouts(draw: st.DrawFn) -> tuple[int, int, int, Geometry]:
    """Frames, length, overlap and geometry that go together."""
    geometry = draw(geometries)
    length = draw(st.integers(1, 12)) * geometry.time_stride + geometry.causal
    length += geometry.time_stride * (length < 2)
    return draw(st.integers(1, 120)), length, draw(st.integers(0, length - geometry.time_stride)), geometry


@settings(max_examples=50)
@given(layouts())
def test_every_frame_is_in_a_window_and_the_last_window_ends_with_the_shot(layout) -> None:
    frames, length, _, geometry = layout
    spans = lay_spans(*layout)
    covered = {frame for span in spans for frame in range(span.start, span.stop)}
    assert covered == set(range(spans[-1].stop))
    if frames >= length:
        assert frames <= spans[-1].stop < frames + geometry.time_stride
    assert [span.indices(frames) for span in spans] == [
        tuple(min(frame, frames - 1) for frame in range(span.start, span.stop)) for span in spans
    ]


@settings(max_examples=50)
@given(layouts())
def test_windows_are_in_step_with_the_latent_grid(layout) -> None:
    _, length, _, geometry = layout
    spans = lay_spans(*layout)
    assert all(a.start < b.start for a, b in pairwise(spans))
    assert all(span.start % geometry.time_stride == 0 for span in spans)
    assert {span.frames for span in spans} == {length} or len(spans) == 1


@settings(max_examples=50)
@given(layouts())
def test_neighbours_share_the_least_number_of_frames_and_the_last_no_less(layout) -> None:
    _, length, overlap, geometry = layout
    shared = [a.stop - b.start for a, b in pairwise(lay_spans(*layout))]
    least = next(more for more in range(overlap, length) if (length - more) % geometry.time_stride == 0)
    assert set(shared[:-1]) <= {least}
    assert all(length > each >= least for each in shared)


@settings(max_examples=50)
@given(layouts())
def test_a_short_shot_has_one_window_the_shortest_that_holds_it(layout) -> None:
    frames, length, _, geometry = layout
    spans = lay_spans(*layout)
    assert (len(spans) == 1) == (frames <= length)
    if len(spans) == 1:
        geometry.frame_indices(spans[0].frames)
        assert max(frames, 2) <= spans[0].frames < max(frames, 2) + geometry.time_stride
        assert spans[0].frames <= length


@settings(max_examples=50)
@given(layouts())
def test_pieces_part_the_frames_and_a_window_is_made_of_whole_ones_and_the_last_one_s_beginning(layout) -> None:
    spans = lay_spans(*layout)
    pieces = pieces_of(spans)
    assert [frame for piece in pieces for frame in piece] == list(range(spans[-1].stop))
    for number, span in enumerate(spans):
        under = pieces_under(span, pieces)
        assert under[0] == number
        assert list(under) == [n for n, piece in enumerate(pieces) if set(piece) & set(range(span.start, span.stop))]


@settings(max_examples=50)
@given(layouts())
def test_seams_are_real_steps_that_lead_over_every_start_but_the_first(layout) -> None:
    spans, frames = lay_spans(*layout), layout[0]
    seams = seams_of(spans)
    assert {span.start - 1 for span in spans[1:]} <= set(seams) <= set(range(frames - 1))


def test_layouts_by_hand() -> None:
    assert lay_spans(40, 16, 4, PLAIN) == (Span(0, 16), Span(12, 16), Span(24, 16))
    assert lay_spans(41, 16, 4, PLAIN)[-2:] == (Span(24, 16), Span(25, 16))
    assert lay_spans(32, 16, 0, PLAIN) == (Span(0, 16), Span(16, 16))
    assert lay_spans(148, 81, 16, CAUSAL) == (Span(0, 81), Span(64, 81), Span(68, 81))
    assert lay_spans(3, 81, 16, CAUSAL) == (Span(0, 5),)
    assert lay_spans(1, 16, 4, PLAIN) == (Span(0, 2),)
    assert Span(8, 5).indices(11) == (8, 9, 10, 10, 10)
    assert seams_of(lay_spans(32, 16, 0, PLAIN)) == (15,)
    assert seams_of(lay_spans(28, 16, 4, PLAIN)) == (11, 12, 13, 14, 15)


@pytest.mark.parametrize(
    ("frames", "length", "overlap", "message"),
    [
        (0, 81, 16, "frames: got a shot of 0, wanted at least 1"),
        (90, 80, 16, r"got 80 frames, wanted 4 \* n \+ 1: change the length of the clips"),
        (90, 1, 0, "length: got windows of 1 frame, wanted at least 2: one frame has no motion"),
        (90, 81, -1, "overlap: got -1 frames of windows of 81, wanted 0 to 77: change one of them"),
        (90, 81, 78, "overlap: got 78 frames of windows of 81, wanted 0 to 77: change one of them"),
    ],
)
def test_what_makes_no_layout_is_refused(frames: int, length: int, overlap: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        lay_spans(frames, length, overlap, CAUSAL)
