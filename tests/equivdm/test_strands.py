"""The noise of windows that are cut from one stream: that of the whole shot, to the bit."""

from collections.abc import Iterator

import numpy as np
import pytest

from equivdm.backbones.geometry import Geometry
from equivdm.config import NoiseConfig
from equivdm.noise import independent_noise, plan_motion
from equivdm.spans import Span, lay_spans, pieces_of, pieces_under
from equivdm.strands import Steps, Strand, follow, noise_of
from tests.equivdm.noise.motions import smooth_flow

SIZE, GRID, CHANNELS, SEED = (48, 64), (6, 8), 5, 11
CAUSAL = Geometry(channels=16, space_stride=8, time_stride=4, causal=True)
PLAIN = Geometry(channels=4, space_stride=8, time_stride=1, causal=False)
LAYOUTS = [(PLAIN, 16, 4), (PLAIN, 16, 12), (CAUSAL, 17, 4), (PLAIN, 8, 0)]
FRAMES = 43
KINDS = [NoiseConfig(), NoiseConfig(beta=1), NoiseConfig(kind="independent")]


def flow(frames: int) -> np.ndarray:
    return smooth_flow(SIZE, frames - 1, seed=3, strength=3) if frames > 1 else np.zeros((0, *SIZE, 2), np.float32)


def chunks(frames: int, length: int, two_ways: bool = True, start: int = 0) -> Iterator[Steps]:
    steps = flow(frames)
    for first in range(start, frames - 1, length):
        forward = steps[first : first + length]
        yield forward, -forward if two_ways else None


def strands(spans: tuple[Span, ...], steps: Iterator[Steps], stride: int, frames: int, resume=None) -> list[Strand]:
    options = {"grid": GRID, "per_cell": 4, "stride": stride, "frames": frames, "resume": resume}
    return list(follow(steps, pieces_of(spans), SIZE, **options))


def windows(spans: tuple[Span, ...], found: list[Strand], geometry: Geometry, noise: NoiseConfig) -> list[np.ndarray]:
    plans = {strand.number: strand.plan for strand in found}
    pieces = pieces_of(spans)
    under = [{number: plans[number] for number in pieces_under(span, pieces)} for span in spans]
    return [noise_of(*each, geometry, CHANNELS, SEED, noise) for each in zip(spans, under, strict=True)]


def of_whole_shot(frames: int, stop: int, geometry: Geometry, noise: NoiseConfig, two_ways: bool = True) -> np.ndarray:
    """[channels, latent frames, h, w], by one plan of a shot whose last frame is repeated up to `stop`."""
    forward = np.concatenate([flow(frames), np.zeros((stop - frames, *SIZE, 2), np.float32)])
    latent = range(0, stop, geometry.time_stride)
    if noise.kind == "independent":
        return independent_noise((len(latent), CHANNELS, *GRID), SEED).transpose(1, 0, 2, 3)
    plan = plan_motion(forward, -forward if two_ways else None, grid=GRID, frames=latent)
    return plan.noise(SEED, CHANNELS, beta=noise.beta).transpose(1, 0, 2, 3)


@pytest.mark.parametrize("noise", KINDS)
@pytest.mark.parametrize(("geometry", "length", "overlap"), LAYOUTS)
def test_windows_have_the_noise_of_the_whole_shot(
    geometry: Geometry, length: int, overlap: int, noise: NoiseConfig
) -> None:
    """So that those which overlap share it."""
    spans = lay_spans(FRAMES, length, overlap, geometry)
    assert len(spans) > 2
    whole = of_whole_shot(FRAMES, spans[-1].stop, geometry, noise)
    found = strands(spans, chunks(FRAMES, 7), geometry.time_stride, FRAMES)
    for span, window in zip(spans, windows(spans, found, geometry, noise), strict=True):
        first = span.start // geometry.time_stride
        assert window.dtype == np.float32
        np.testing.assert_array_equal(window, whole[:, first : first + len(geometry.frame_indices(length))])


@pytest.mark.parametrize("two_ways", [True, False])
def test_chunks_and_a_new_process_after_every_piece_change_no_bit(two_ways: bool) -> None:
    spans = lay_spans(FRAMES, 17, 4, CAUSAL)
    once, *others = (strands(spans, chunks(FRAMES, length, two_ways), 4, FRAMES) for length in (42, 1, 5, 12))
    assert [strand.number for strand in once] == list(range(len(spans)))
    for other in others:
        assert other == once
    for strand, piece in zip(once[:-1], pieces_of(spans), strict=False):
        rest = chunks(FRAMES, 5, two_ways, start=piece.stop)
        assert strands(spans, rest, 4, FRAMES, resume=strand.state) == once[strand.number + 1 :]


@pytest.mark.parametrize(("frames", "geometry"), [(1, PLAIN), (1, CAUSAL), (7, CAUSAL), (9, CAUSAL), (16, PLAIN)])
@pytest.mark.parametrize("two_ways", [True, False])
def test_a_short_shot_has_the_noise_of_its_one_plan(frames: int, geometry: Geometry, two_ways: bool) -> None:
    spans = lay_spans(frames, 17, 4, geometry)
    found = strands(spans, chunks(frames, 3, two_ways), geometry.time_stride, frames)
    (window,) = windows(spans, found, geometry, KINDS[0])
    whole = of_whole_shot(frames, frames, geometry, KINDS[0], two_ways) if frames > 1 else window[:, :1]
    np.testing.assert_array_equal(window[:, : whole.shape[1]], whole)


def test_a_frame_that_is_repeated_has_its_noise_again() -> None:
    (span,) = spans = lay_spans(1, 16, 4, PLAIN)
    ((first, second),) = [windows(spans, strands(spans, chunks(1, 3), 1, 1), PLAIN, KINDS[1])[0].transpose(1, 0, 2, 3)]
    np.testing.assert_array_equal(second, first)
    assert span.frames == 2


@pytest.mark.parametrize("wrong", [FRAMES - 1, FRAMES + 1])
def test_flow_of_another_length_is_refused(wrong: int) -> None:
    spans = lay_spans(FRAMES, 16, 4, PLAIN)
    with pytest.raises(ValueError, match=r"^steps: got 4\d steps( or more)? of flow, wanted the 42 that lead to"):
        strands(spans, chunks(wrong, 5), 1, FRAMES)


def test_a_state_of_other_pieces_or_of_another_grid_is_refused() -> None:
    spans, others = lay_spans(FRAMES, 16, 4, PLAIN), lay_spans(FRAMES, 16, 5, PLAIN)
    state = strands(spans, chunks(FRAMES, 5), 1, FRAMES)[0].state
    with pytest.raises(ValueError, match=r"^resume: got a stream at frame 12 of .* at one of \[0, 11, 22, 27\]"):
        strands(others, chunks(FRAMES, 5, start=12), 1, FRAMES, resume=state)
    coarse = follow(
        chunks(FRAMES, 5), pieces_of(spans), SIZE, grid=(3, 4), per_cell=4, stride=1, frames=43, resume=state
    )
    with pytest.raises(ValueError, match=r"^resume: got a stream at frame 12 of \(size, grid, per_cell\) .*, wanted"):
        next(coarse)


def test_a_missing_piece_is_named() -> None:
    spans = lay_spans(FRAMES, 16, 4, PLAIN)
    first, *_ = strands(spans, chunks(FRAMES, 5), 1, FRAMES)
    with pytest.raises(
        ValueError, match=r"^motion plans: got frames \[0, .*, 11\] of Span\(start=0, frames=16\), want"
    ):
        noise_of(spans[0], {0: first.plan}, PLAIN, CHANNELS, SEED, NoiseConfig())
