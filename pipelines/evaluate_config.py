"""An evaluation: whose videos are measured, against which, by what. Pydantic only."""

from collections import Counter
from typing import Literal, Self

from pydantic import Field, model_validator

from equivdm.config import Config, DecodeConfig, FlowConfig
from equivdm.metrics_config import WeightsConfig
from pipelines.settings import AccessConfig, Job, Name, Resources, SourceConfig


class SystemConfig(SourceConfig):
    """Generated videos of a system: a folder, an S3 prefix or a table of them, laid beside the driving videos.

    Each belongs to the driving video of the same path without its ending, or to the one that column `driving` of the
    table names.
    """

    name: Name
    """Name of the system in tables and reports."""
    start: int = Field(default=0, ge=0)
    """Frame of the driving video that the first generated frame was made from."""
    stride: int = Field(default=1, ge=1)
    """Frames of the driving video from one generated frame to the next."""
    frames: int | None = Field(default=None, ge=2)
    """Frames that each of its videos must have; a video of another length fails. Any number where none is given."""


class MatchConfig(Config):
    """How a generated video and its driving video are laid on each other."""

    rule: Literal["crop", "pad", "stretch"] = "crop"
    """How a driving video of another size is brought to the generated one's, as the system was shown it. `crop`: its
    middle, which covers the frame; `pad`: all of it, the border repeats its outermost pixels; `stretch`: all of it, in
    the frame's shape. Of videos rendered here it is known."""
    max_frames: int = Field(default=96, ge=2)
    """At most so many frames of a video are measured, the first ones: a worker holds them with their flow and that of
    the driving video, some 40 bytes a pixel, which are 1.5 GiB for 96 frames of 480x832."""


class EvaluateWork(Config):
    """How the steps of evaluate are spread and retried. None of it can change a result."""

    probe: Resources = Resources()
    """Of finding the frames and the content of a video that was not rendered here."""
    task: Resources = Resources()
    """Of what is measured without a network: decoding, flow, pixels."""
    networks: Resources = Resources()
    """Of what is measured through networks: GPUs, or a number of actors, load them once an actor; neighbouring steps
    with the same needs run as one task."""
    max_attempts: int = Field(default=3, ge=1)
    """Runs that may try a video before it is quarantined; a fault in the bytes themselves is final at once."""


class EvaluateJob(Job):
    """Videos to metrics."""

    job: Literal["evaluate"] = "evaluate"
    """Names the kind of spec."""
    name: Name = "evaluation"
    """Name of the report in the store."""
    renders: tuple[Name, ...] = ()
    """Names of sets of videos that were rendered in this store."""
    systems: tuple[SystemConfig, ...] = ()
    """Generated videos from elsewhere, a system each."""
    driving: SourceConfig | None = None
    """Driving videos of the systems. Those of `renders` are known."""
    reference: SourceConfig | None = None
    """Videos that those of the systems should look like, by the driving videos' paths; these themselves where none are
    given. What was rendered here is held against its driving video."""
    source: AccessConfig = AccessConfig()
    """How the driving videos of rendered clips are reached: as in the preprocess job."""
    match: MatchConfig = MatchConfig()
    """How generated and driving videos are laid on each other."""
    flow: FlowConfig = FlowConfig()
    """The estimator that judges motion, and finds that of driving videos whose motion is not stored."""
    metrics: tuple[str, ...] = ()
    """Names of metrics (docs/metrics.md); all that can be measured where none is given."""
    weights: WeightsConfig = WeightsConfig()
    """Networks that some of them need."""
    baseline: Name | None = None
    """The set or system that the others are compared with, clip by clip; the first one where none is given."""
    report: str | None = None
    """Where the report is written: a folder, or `s3://bucket/prefix` as the store's; `reports/NAME` in the store where
    none is given."""
    decode: DecodeConfig = DecodeConfig()
    """Limits of the decoder."""
    bootstrap: int = Field(default=2000, ge=100)
    """Resamplings of the confidence intervals."""
    work: EvaluateWork = EvaluateWork()
    """Spread and retries."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all that is measured: the sets rendered here, then the systems."""
        return (*self.renders, *(system.name for system in self.systems))

    @model_validator(mode="after")
    def _names_are_told_apart(self) -> Self:
        if not self.names:
            raise ValueError("got neither renders nor systems, wanted some of them: name what is to be measured")
        if twice := [name for name, number in Counter(self.names).items() if number > 1]:
            raise ValueError(f"systems: got the name {twice[0]!r} twice, wanted each once: give one of them another")
        if self.baseline is not None and self.baseline not in self.names:
            raise ValueError(f"baseline: got {self.baseline!r}, wanted one of {', '.join(self.names)}")
        return self

    @model_validator(mode="after")
    def _systems_have_driving_videos(self) -> Self:
        if self.systems and self.driving is None:
            raise ValueError("driving: got none, wanted the driving videos of the systems: give driving.root")
        return self

    @model_validator(mode="after")
    def _flow_is_estimated(self) -> Self:
        if self.flow.kind == "file":
            raise ValueError("flow.kind: got file, wanted dis or raft: generated videos have no motion vectors")
        return self
