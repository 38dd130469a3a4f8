"""How samples are judged: motion and coherence against the exact flow, and how they look against the driving clips."""

from collections.abc import Iterator, Sequence

from equivdm.arrays import Frames
from equivdm.metrics import Case, measure
from equivdm.metrics.distributions import frechet_distance
from equivdm.study.asking import Asked, sample_clips
from equivdm.study.clips import Clip
from equivdm.study.config import ExperimentSpec
from equivdm.study.experiment import Measured, Row
from equivdm.study.features import random_features

OF_CLIP = ("cf_psnr", "epe", "sharpness", "contrast")
"""Metrics of each sample, as `equivdm.metrics` has them; the judge of motion is DIS, which made no noise here."""

OF_SET = "frechet_random_features"
"""Frechet distance between samples and driving clips in `random_features`. It is no FID: it orders models, no more."""

JUDGED = (*OF_CLIP, OF_SET)

DRIVING = "driving"
"""The variant that the driving clips themselves are: what a model that paints like the camera would reach."""


class Judge:
    """Samples the held-out clips by one model after another, and collects what is measured."""

    def __init__(self, spec: ExperimentSpec, clips: Sequence[Clip]) -> None:
        """The driving clips are judged first."""
        self._spec, self._clips = spec, clips
        self._features = [random_features(clip.frames) for clip in clips]
        frames = [clip.frames for clip in clips]
        pairs = list(enumerate(clips))
        self.rows = [row for number, clip in pairs for row in _of_clip(DRIVING, None, number, clip.frames, clip)]
        self.videos = {DRIVING: frames[: spec.videos]}

    def add(self, variant: str, asked: Asked, steps: int, x: float | None = None, keep: str | None = None) -> None:
        """Judge a model by `JUDGED`; the first samples are kept as videos under the name `keep`, if one is given."""
        rows, frames = list[Row](), list[Frames]()
        for sampled in sample_clips(asked, self._clips, steps, self._spec.draws):
            frames.append(sampled.frames)
            rows += _of_clip(variant, x, sampled.clip, frames[-1], self._clips[sampled.clip])
        distance = frechet_distance([random_features(each) for each in frames], self._features)
        self.rows += [*rows, Row(variant, x, OF_SET, None, distance)]
        if keep is not None:
            self.videos[keep] = frames[:: self._spec.draws][: self._spec.videos]

    @property
    def measured(self) -> Measured:
        """All that was found."""
        return Measured(self.rows, {name: frames for name, frames in self.videos.items() if frames})


def _of_clip(variant: str, x: float | None, number: int, frames: Frames, clip: Clip) -> Iterator[Row]:
    found = measure(Case(frames, clip.motion), OF_CLIP)
    return (Row(variant, x, metric, number, value) for metric, value in found.items())
