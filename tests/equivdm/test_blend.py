"""Windows of latents joined into one shot."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equivdm.backbones.geometry import Geometry
from equivdm.blend import blend, crossfade
from equivdm.spans import Span, lay_spans

CAUSAL = Geometry(channels=16, space_stride=8, time_stride=4, causal=True)
PLAIN = Geometry(channels=4, space_stride=8, time_stride=1, causal=False)
SHAPE = (2, 3, 2, 3)
"""Samples, channels, height, width."""


def latent_frames(span: Span, geometry: Geometry) -> range:
    first = span.start // geometry.time_stride
    return range(first, first + len(geometry.frame_indices(span.frames)))


def cut(whole: torch.Tensor, spans: tuple[Span, ...], geometry: Geometry) -> Iterator[tuple[Span, torch.Tensor]]:
    return ((span, whole[:, :, list(latent_frames(span, geometry))]) for span in spans)


def drawn(frames: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*SHAPE[:2], frames, *SHAPE[2:], generator=generator).to(dtype)


layouts = st.one_of(
    st.tuples(st.integers(1, 50), st.just(9), st.integers(0, 5), st.just(CAUSAL)),
    st.tuples(st.integers(1, 30), st.just(6), st.integers(0, 5), st.just(PLAIN)),
)


@settings(max_examples=40)
@given(layouts, st.sampled_from([torch.float32, torch.bfloat16]))
def test_windows_that_agree_come_out_as_they_are(layout, dtype: torch.dtype) -> None:
    spans, geometry = lay_spans(*layout), layout[-1]
    whole = drawn(latent_frames(spans[-1], geometry).stop, dtype=dtype)
    chunks = list(blend(cut(whole, spans, geometry), geometry))
    assert torch.equal(torch.cat(chunks, dim=2), whole)
    assert all(chunk.shape[2] for chunk in chunks)


@settings(max_examples=40)
@given(layouts)
def test_every_frame_is_a_mean_of_the_windows_that_hold_it(layout) -> None:
    """Window n is one where m = n and nothing elsewhere: the blend is its weight in every frame."""
    spans, geometry = lay_spans(*layout), layout[-1]
    frames = latent_frames(spans[-1], geometry).stop
    blends = [blend(zip(spans, marks(spans, m, geometry), strict=True), geometry) for m in range(len(spans))]
    weights = torch.stack([torch.cat(list(each), dim=2)[0, 0, :, 0, 0] for each in blends])
    torch.testing.assert_close(weights.sum(0), torch.ones(frames))
    assert (weights >= 0).all()
    for span, row in zip(spans, weights, strict=True):
        held = latent_frames(span, geometry)
        assert not row[: held.start].any()
        assert not row[held.stop :].any()
        assert bool(row[held.start]) == (not geometry.causal or span.start == 0)  # one frame in place of four


def marks(spans: tuple[Span, ...], marked: int, geometry: Geometry) -> Iterator[torch.Tensor]:
    for number, span in enumerate(spans):
        yield torch.full((1, 1, len(latent_frames(span, geometry)), 1, 1), float(number == marked))


def test_a_crossfade_rises_evenly_from_one_window_to_the_other() -> None:
    torch.testing.assert_close(crossfade(3, causal=False), torch.tensor([0.25, 0.5, 0.75]))
    torch.testing.assert_close(crossfade(4, causal=True), torch.tensor([0, 0.25, 0.5, 0.75]))
    assert crossfade(1, causal=True).tolist() == [0]
    assert crossfade(0, causal=False).tolist() == []


def test_a_window_is_asked_for_when_those_before_it_are_handed_out() -> None:
    """At any time one window is at hand, and one that joins it."""
    spans, asked = lay_spans(100, 10, 4, PLAIN), list[int]()

    def windows() -> Iterator[tuple[Span, torch.Tensor]]:
        for span, latents in cut(drawn(100), spans, PLAIN):
            asked.append(span.start)
            yield span, latents

    done = 0
    for chunk in blend(windows(), PLAIN):
        assert chunk.shape[2] <= 10
        assert done >= asked[-1] - 6
        done += chunk.shape[2]
    assert done == 100


@pytest.mark.parametrize("order", [(1, 2), (0, 2), (0, 1, 1), (0, 1, 0)])
def test_windows_that_are_missing_or_out_of_order_are_refused(order: tuple[int, ...]) -> None:
    spans = lay_spans(24, 8, 2, PLAIN)
    windows = ((spans[n], drawn(8)) for n in order)
    with pytest.raises(
        ValueError, match=r"^blend: got Span\(.*\), latent frames .*: give all windows of the shot, in ord"
    ):
        list(blend(windows, PLAIN))


def test_latents_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^blend: got 4 latent frames for Span\(start=0, frames=9\), wanted 3$"):
        list(blend([(Span(0, 9), drawn(4))], CAUSAL))
