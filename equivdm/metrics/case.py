"""What is known of one generated video, for the metrics to look at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import UInt8

from equivdm.arrays import Features, Frames
from equivdm.config import FlowConfig
from equivdm.flow import Estimator, Motion, build_estimator, motion_by
from equivdm.flow.points import Tracks, follow_points
from equivdm.metrics.needs import available
from equivdm.metrics_config import WeightsConfig

TRACKS = 1000
"""Points that are followed through a video, at most."""


@dataclass(frozen=True)
class Case:
    """One generated video and what it is measured against. What several metrics share is computed once.

    Raises:
        ValueError: where motion or reference are of another length or size than the frames.
    """

    frames: Frames
    """The generated video."""
    motion: Motion | None = None
    """The driving clip's, at the frames' size."""
    judge: FlowConfig = field(default_factory=FlowConfig)
    """The estimator that says how the generated video moves; better not the one that made its noise."""
    reference: UInt8[np.ndarray, "_ _ _ 3"] | None = None
    """What the generated video should look like, frame by frame."""
    caption: str | None = None
    """What it should show."""
    sampling: Mapping[str, float] = field(default_factory=dict)
    """Metrics that were found while it was sampled, since they are of latents that are gone."""
    weights: WeightsConfig = field(default_factory=WeightsConfig)
    """Networks of the metrics that need some."""
    device: str = "cpu"
    """Of torch, for these networks."""

    def __post_init__(self) -> None:
        if self.motion is not None:
            steps, height, width = self.motion.forward.shape[:3]
            self._check((steps + 1, height, width), "the motion of the clip that drove it")
        if self.reference is not None:
            self._check(self.reference.shape[:3], "a reference of its own length and size")

    def _check(self, wanted: tuple[int, ...], against: str) -> None:
        if self.frames.shape[:3] != wanted:
            raise ValueError(
                f"frames: got {self.frames.shape[:3]} (frames, height, width), wanted {wanted}: "
                f"measure a video against {against}"
            )

    @property
    def has(self) -> frozenset[str]:
        """What there is of that which metrics need."""
        own = {
            "motion": self.motion is not None,
            "tracks": self.motion is not None,
            "reference": self.reference is not None,
            "caption": bool(self.caption),
            "sampling": bool(self.sampling),
        }
        return available(self.weights) | {name for name, given in own.items() if given}

    @property
    def driving(self) -> Motion:
        """The driving motion. ValueError where there is none; likewise the next two."""
        if self.motion is None:
            raise ValueError("motion: got none, wanted the driving clip's: leave out the metrics that need it")
        return self.motion

    @property
    def wanted(self) -> Frames:
        """The reference."""
        if self.reference is None:
            raise ValueError("reference: got none, wanted frames: leave out the metrics that need it")
        return self.reference

    @property
    def words(self) -> str:
        """The caption."""
        if not self.caption:
            raise ValueError("caption: got none, wanted words: leave out the metrics that need it")
        return self.caption

    @cached_property
    def tracks(self) -> Tracks:
        """Points that follow the driving motion, and stay visible throughout. ValueError where there is none."""
        tracks = follow_points(self.driving, TRACKS, seed=0)
        if not len(tracks):
            raise ValueError(
                "driving motion: got no point that is visible in all frames, wanted some: leave the clip out"
            )
        return tracks

    def sampled(self, metric: str) -> float:
        """Return what was found of it while it was sampled. ValueError where nothing was."""
        if metric not in self.sampling:
            raise ValueError(f"{metric}: got none, wanted what sampling found: leave out the metrics that need it")
        return self.sampling[metric]

    @cached_property
    def estimated(self) -> Motion:
        """Motion of the generated video, by the judge. Raises UsageError for an estimator that cannot be built."""
        return motion_by(_estimator(self.judge.model_dump_json()), self.frames, self.judge.occlusion)

    @cached_property
    def seen_by_clip(self) -> Features:
        """CLIP's embedding of each frame. ValueError without `weights.clip`."""
        from equivdm.networks.embeddings import clip_frames

        return clip_frames(self.frames, self.weights.path("clip"), self.device)


@lru_cache(maxsize=2)
def _estimator(judge: str) -> Estimator:
    """Return the estimator of a config in JSON, which has a hash for the type checker too; it may hold a network."""
    return build_estimator(FlowConfig.model_validate_json(judge))
