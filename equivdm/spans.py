"""How windows of a fixed length cover a shot of any length. No torch: a job is planned without it.

Frames are counted within the shot. Windows that reach beyond its end repeat its last frame there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from equivdm.backbones.geometry import Geometry

SHORTEST = 2
"""Frames of the shortest window: one frame has no motion."""


@dataclass(frozen=True)
class Span:
    """A window of a shot."""

    start: int
    """Its first frame."""
    frames: int
    """Its length."""

    @property
    def stop(self) -> int:
        """The frame behind its last."""
        return self.start + self.frames

    def indices(self, frames: int) -> tuple[int, ...]:
        """Return its frames in a shot of `frames`; the last one of the shot stands for those beyond."""
        return tuple(min(frame, frames - 1) for frame in range(self.start, self.stop))


def lay_spans(frames: int, length: int, overlap: int, geometry: Geometry) -> tuple[Span, ...]:
    """Cover a shot of `frames` by windows of `length` frames.

    Neighbours share as few frames as `overlap` and the time stride allow, the last two as many as it takes: the last
    window ends with the shot, or less than a stride behind it. Every start is a multiple of the time stride, so that
    latent frames of neighbours coincide. A shot shorter than `length` has one window, the shortest one that holds it.

    Raises:
        ValueError: for a shot without frames, a length that the codec does not take, or an overlap that leaves windows
            no step of their own.
    """
    _check(frames, length, overlap, geometry)
    if frames <= length:
        return (Span(0, _shortest(frames, geometry)),)
    stride = geometry.time_stride
    step = (length - overlap) // stride * stride
    last = -(-(frames - length) // stride) * stride
    return tuple(Span(start, length) for start in (*range(0, last, step), last))


def pieces_of(spans: Sequence[Span]) -> tuple[range, ...]:
    """Part the frames that the windows cover by where they start: what a window adds to those before it."""
    edges = [*(span.start for span in spans), spans[-1].stop]
    return tuple(range(first, stop) for first, stop in pairwise(edges))


def pieces_under(span: Span, pieces: Sequence[range]) -> tuple[int, ...]:
    """Return the numbers of the pieces that a window's frames lie in."""
    return tuple(n for n, piece in enumerate(pieces) if piece.start < span.stop and span.start < piece.stop)


def seams_of(spans: Sequence[Span]) -> tuple[int, ...]:
    """Return the steps, each from that frame to the next, within which the picture goes over from a window to the next.

    They are those that have an end in frames that two windows share; of windows that share none, those from one to the
    other.
    """
    return tuple(sorted({step for a, b in pairwise(spans) for step in range(b.start - 1, a.stop)}))


def _check(frames: int, length: int, overlap: int, geometry: Geometry) -> None:
    if frames < 1:
        raise ValueError(f"frames: got a shot of {frames}, wanted at least 1")
    geometry.frame_indices(length)
    if length < SHORTEST:
        raise ValueError(f"length: got windows of {length} frame, wanted at least {SHORTEST}: one frame has no motion")
    most = length - geometry.time_stride
    if not 0 <= overlap <= most:
        raise ValueError(
            f"overlap: got {overlap} frames of windows of {length}, wanted 0 to {most}: change one of them"
        )


def _shortest(frames: int, geometry: Geometry) -> int:
    """Return the least number of frames that the codec takes and that holds `frames`."""
    rest, stride = int(geometry.causal), geometry.time_stride
    return -(-(max(frames, SHORTEST) - rest) // stride) * stride + rest
