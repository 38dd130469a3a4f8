"""Where one shot ends and the next begins, from thumbnails of all frames.

Two scores a frame, both from thumbnails alone, so that a long video is worked through in blocks:

- cut: the frames before against the frames after, adaptive to how much each side moves. It is the ratio test in a
  sliding window of Yeo & Liu (Rapid Scene Analysis on Compressed Video, 1995) on all pairs of frames near the cut, the
  corner of the similarity matrix that Cooper & Foote (Scene Boundary Detection via Video Self-Similarity Analysis,
  2001) look at. The *least* difference across counts: a flash has the same picture before and after, and is no cut.
  Two cuts less than three frames apart hide each other.
- fade: by the production model of Hampapur, Jain & Weymouth (Production Model Based Digital Video Segmentation, 1995)
  a frame within a dissolve is a linear mix of the frames on both sides. Motion changes a picture as much, but what lies
  in between is then no mix of the two; where it nearly is one, since the picture is smooth or slow, the picture changes
  as much before and after.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from av import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from jaxtyping import Float32, Int64

from equivdm.config import ShotsConfig
from equivdm.video.container import numbered, read_layout

Thumbnails = Float32[np.ndarray, "frames rows columns 3"]
"""Small pictures in CIE L*a*b*, each channel 0 to 255."""

Scores = Float32[np.ndarray, " frames"]
"""One value per frame, of the boundary between it and the frame before."""

_SIDE = 48
"""Rows and columns of a thumbnail, whatever the shape of the frame: camera motion is small at this size."""

_NEAR = 3
"""Frames on each side of a cut that are compared: flashes of up to one frame less are no cuts."""

_REACH = (4, 8, 16)
"""Frames from the middle of a fade to the two that it mixes."""

_FULL = 0.9
"""A fade reaches as far as its score still grows by more than a tenth: farther out nothing fades any more."""

_OUTRUN = 1.4
"""A fade changes the picture by so many times what the frames before and after it do."""

_HALO = 3 * max(_REACH)
"""A score depends on so many frames before and after its own."""

_BLOCK = 64
"""Frames that are scored at once."""

_NOISE = 1.0
"""Levels by which thumbnails of a still picture may differ."""


@dataclass(frozen=True)
class Shot:
    """A run of frames without a cut."""

    start: int
    """Number of the first frame, in order of presentation."""
    stop: int
    """Number of the first frame after it."""

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class ShotScores:
    """Scores of some frames of a video, in order."""

    numbers: Int64[np.ndarray, " frames"]
    """Numbers in order of presentation; those of damaged frames are absent."""
    cut: Scores
    """Least difference across the boundary over the largest on either side of it."""
    fade: Scores
    """Levels by which the picture changes as a linear mix."""
    reach: Int64[np.ndarray, " frames"]
    """Frames from here to both ends of that mix."""


def score_video(path: str) -> Iterator[ShotScores]:
    """Decode a video once, in order, and give the scores of its frames block by block.

    At most 160 thumbnails are held at a time, however long the video is.

    Raises:
        OSError: where the file cannot be read.
        NotAVideo: for an empty or foreign file, or one without a video stream.
        DamagedVideo: where frames that the header promises are missing, or none can be decoded.
    """
    layout = read_layout(path)
    scaler = VideoReformatter()
    yield from score_thumbnails((number, _thumbnail(frame, scaler)) for number, frame in numbered(path, layout))


def score_thumbnails(frames: Iterable[tuple[int, Float32[np.ndarray, "rows columns 3"]]]) -> Iterator[ShotScores]:
    """Give the scores of numbered thumbnails block by block; the scores do not depend on the blocks."""
    numbers: list[int] = []
    held: list[np.ndarray] = []
    done = 0
    for number, thumbnail in frames:
        numbers.append(number)
        held.append(thumbnail)
        if len(held) == done + _BLOCK + _HALO:
            yield _scores(numbers, held, done, done + _BLOCK)
            old = done + _BLOCK - _HALO
            del numbers[:old], held[:old]
            done = _HALO
    if len(held) > done:
        yield _scores(numbers, held, done, len(held))


def find_shots(scores: Sequence[ShotScores], frames: int, config: ShotsConfig) -> tuple[Shot, ...]:
    """Cut a video at the peaks of its scores.

    What fades belongs to no shot: it shows two scenes, and moves as neither. A damaged frame belongs to the shot around
    it, so that a window that needs it fails and says why.

    Args:
        scores: all of `score_video`; none where nothing was decoded.
        frames: frames of the video.
        config: kind and thresholds.

    Returns:
        Shots in order, without those that are too short.
    """
    gaps = [(frames, frames)]
    if scores and config.kind != "none":
        numbers = np.concatenate([part.numbers for part in scores])
        cuts = numbers[_peaks(np.concatenate([part.cut for part in scores]), config.cut_ratio, _NEAR)]
        gaps += zip(cuts.tolist(), cuts.tolist(), strict=True)
        if config.kind == "cuts_and_fades":
            peaks = _peaks(np.concatenate([part.fade for part in scores]), config.fade_change, max(_REACH))
            reach = np.concatenate([part.reach for part in scores])[peaks]
            gaps += zip((numbers[peaks] - reach).tolist(), (numbers[peaks] + reach).tolist(), strict=True)
    return tuple(shot for shot in _between(gaps) if len(shot) >= config.shortest)


def _between(gaps: Sequence[tuple[int, int]]) -> Iterator[Shot]:
    """Yield what lies between gaps, each from a frame to the first one after it."""
    start = 0
    for first, after in sorted(gaps):
        if first > start:
            yield Shot(start, first)
        start = max(start, after)


def cut_scores(thumbnails: Thumbnails) -> Scores:
    """Return min |x_a - x_b| / (1 + max |x_c - x_d|) with a < n <= b, and c, d on the same side of n.

    a, b, c and d are among the three frames before n and the three from n on; |.| is the mean over pixels and channels.
    """
    count = len(thumbnails)
    between = {lag: _distance(thumbnails[lag:], thumbnails[:-lag]) for lag in range(1, min(2 * _NEAR, count))}
    across, within = np.full(count, np.inf, np.float32), np.zeros(count, np.float32)
    for first in range(-_NEAR, _NEAR):
        for second in range(first + 1, min(_NEAR, first + count)):
            # Frame n's value is the distance of n + first from n + second.
            values = between[second - first]
            frames = slice(max(0, -first), min(count, count - second))
            pairs = values[frames.start + first : frames.stop + first]
            if first < 0 <= second:
                across[frames] = np.minimum(across[frames], pairs)
            else:
                within[frames] = np.maximum(within[frames], pairs)
    # Nothing lies before the first frame; and two frames alone show no motion that a cut would stand out from.
    across[: 1 if count > 2 else count] = 0
    return across / (_NOISE + within)


def fade_scores(thumbnails: Thumbnails) -> tuple[Scores, Int64[np.ndarray, " frames"]]:
    """Return the largest over k of |x_(n+k) - x_(n-k)| - 2 |x_n - (x_(n-k) + x_(n+k)) / 2|, and at least 0; and its k.

    Of several k that give as much, nearly, it is the least. The first term is the change, the second is 0 for a linear
    mix and as large as the first for a cut. x has its mean over the picture taken off, so that a camera that adapts to
    the light does not fade. A k counts where that is well above the change in the 2 k frames before and in those
    after; at the video's ends, where one of the two is not there, in the other.
    """
    flat = thumbnails - thumbnails.mean(axis=(1, 2), keepdims=True)
    scores = np.zeros((len(_REACH), len(flat)), np.float32)
    for own, reach in zip(scores, _REACH, strict=True):
        if len(flat) > 2 * reach:
            before, middle, after = flat[: -2 * reach], flat[reach:-reach], flat[2 * reach :]
            change = _distance(after, before)
            mixed = change - 2 * _distance(middle, (before + after) / 2)
            own[reach:-reach] = np.where(mixed > _OUTRUN * _beside(change, 2 * reach), mixed, 0)
    best = scores.max(axis=0, initial=0)
    return best, np.array(_REACH)[(scores >= _FULL * best).argmax(axis=0)]


def _beside(values: Scores, places: int) -> Scores:
    """Return the larger of the two values so many places before and after, the one where there is only one, or NaN."""
    around = np.pad(values, places, constant_values=np.nan)
    return np.fmax(around[: len(values)], around[2 * places :])


def _scores(numbers: list[int], held: list[np.ndarray], start: int, stop: int) -> ShotScores:
    thumbnails = np.stack(held)
    scores = (cut_scores(thumbnails), *fade_scores(thumbnails))
    return ShotScores(np.array(numbers[start:stop], np.int64), *(each[start:stop] for each in scores))


def _distance(a: Thumbnails, b: Thumbnails) -> Scores:
    return np.abs(a - b).mean(axis=(1, 2, 3))


def _peaks(scores: Scores, threshold: float, reach: int) -> Int64[np.ndarray, " peaks"]:
    """Places whose score is at least the threshold and the first largest among so many on each side."""
    around = np.lib.stride_tricks.sliding_window_view(np.pad(scores, reach, constant_values=-np.inf), 2 * reach + 1)
    return np.flatnonzero((scores >= threshold) & (around.argmax(axis=1) == reach))


def _thumbnail(frame: VideoFrame, scaler: VideoReformatter) -> Float32[np.ndarray, "rows columns 3"]:
    small = scaler.reformat(frame, width=_SIDE, height=_SIDE, format="rgb24", interpolation=Interpolation.AREA)
    return cv2.cvtColor(small.to_ndarray(), cv2.COLOR_RGB2LAB).astype(np.float32)
