"""One closed model per job. Pydantic only: a machine without torch or Ray can check and plan a job."""

from typing import Literal, Self

from pydantic import Field, model_validator

from equivdm.config import (
    BackboneConfig,
    ClipConfig,
    Config,
    ControlConfig,
    DecodeConfig,
    FlowConfig,
    LoraConfig,
    NoiseConfig,
    Parameterisation,
    PlanConfig,
    SamplerConfig,
    ShotsConfig,
    TinyConfig,
)
from equivdm.render_config import FrameConfig, OutputConfig, WindowConfig
from equivdm.study.config import ExperimentSpec
from pipelines.distill_config import GanConfig, RegressionConfig
from pipelines.evaluate_config import EvaluateJob
from pipelines.fit_config import FitConfig, OptimizerConfig
from pipelines.settings import (
    FiltersConfig,
    Job,
    Name,
    PreprocessWork,
    RenderWork,
    ReproduceWork,
    SelectConfig,
    SourceConfig,
)


class PreprocessJob(Job):
    """Videos to clips: flow, occlusion, motion plan, latents, condition."""

    job: Literal["preprocess"] = "preprocess"
    """Names the kind of spec."""
    source: SourceConfig
    """The videos."""
    clip: ClipConfig = ClipConfig()
    """The windows."""
    decode: DecodeConfig = DecodeConfig()
    """Limits of the decoder."""
    shots: ShotsConfig = ShotsConfig()
    """Where a video is cut, so that no window goes across a cut."""
    flow: FlowConfig = FlowConfig()
    """The motion."""
    flow_divisor: int = Field(default=1, ge=1, le=16)
    """Flow is stored as float16 at this part of the clip's height and width; the plan is made from what is stored."""
    plan: PlanConfig = PlanConfig()
    """The particles that carry the noise."""
    control: ControlConfig = ControlConfig()
    """The dense condition to compute."""
    backbone: BackboneConfig = TinyConfig()
    """Whose latents to compute; only what decides the latents enters the clips' fingerprint."""
    materialize_noise: bool = False
    """Store one draw of warped noise a clip too, for other tools; training draws its own from the plan."""
    filters: FiltersConfig = FiltersConfig()
    """Which windows are left out."""
    work: PreprocessWork = PreprocessWork()
    """Spread and retries."""


class TrainJob(Job):
    """Clips to a model: the ordinary denoising loss on warped noise."""

    job: Literal["train"] = "train"
    """Names the kind of spec."""
    name: Name = "equivdm"
    """Name of the model in the store."""
    data: SelectConfig = SelectConfig()
    """The clips."""
    backbone: BackboneConfig = TinyConfig()
    """The network."""
    objective: Parameterisation | None = None
    """What the network learns to predict: `epsilon`, `v`, `x0`, or `flow`, the noise less the video. The backbone's own
    where none is given."""
    noise: NoiseConfig = NoiseConfig()
    """`noise.kind=independent` is the baseline."""
    shift: float = Field(default=1.0, gt=0)
    """Of the times that it is trained at, as in `sampler.shift`: above 1 more of them are noisy."""
    control_dropout: float = Field(default=0.1, ge=0, le=1)
    """Share of samples that see an empty dense condition."""
    text_dropout: float = Field(default=0.1, ge=0, le=1)
    """Share of samples that see an empty caption."""
    lora: LoraConfig | None = None
    """Train low-rank adapters on the frozen network, and export only them; the whole network where none is given."""
    start: Name | None = None
    """Model of the store to go on from, or to put adapters on: the newest of that name, of the same backbone. The
    backbone's own weights where none is given: published ones, or, of `tiny`, random ones."""
    fit: FitConfig = FitConfig()
    """Steps, batch, seed, optimizer, workers."""

    @model_validator(mode="after")
    def _starts_elsewhere(self) -> Self:
        if self.start == self.name:
            raise ValueError(f"start: got {self.start!r}, which is the model's own name: give one of them another")
        return self

    @model_validator(mode="after")
    def _is_validated_by_a_solver(self) -> Self:
        validation = self.fit.validation
        if validation and validation.sampler and validation.sampler.kind == "renoise":
            raise ValueError(
                "fit.validation.sampler: got kind=renoise, which is for distilled students alone: give a solver, "
                "or leave it out"
            )
        return self


class DistillJob(Job):
    """A model to a student of one step, or of few, by distribution matching."""

    job: Literal["distill"] = "distill"
    """Names the kind of spec."""
    name: Name = "student"
    """Name of the student in the store."""
    teacher: Name = "equivdm"
    """Name of the model to distil; the newest of that name."""
    start: Name | None = None
    """Student to go on from, of the same backbone and objective; the teacher's weights where none is given."""
    data: SelectConfig = SelectConfig()
    """The clips."""
    noise: NoiseConfig | None = None
    """Noise of the student's input; the teacher's own where none is given."""
    renoise: Literal["warped", "independent"] | None = None
    """Noise that is added to the student's videos, where they are judged and between its steps: fresh draws that move
    with the clip, or are independent in every frame. All else of it, and the kind where none is given, is of the noise
    that the teacher was trained on, the only one at which it is a score."""
    student_steps: int = Field(default=1, ge=1)
    """Steps from noise to video. A student of several is trained at each of them, where its own steps bring it."""
    shift: float = Field(default=1.0, gt=0)
    """Of the student's times, and of those at which its videos are judged, as in `sampler.shift`."""
    guidance: float = Field(default=1.0, ge=0)
    """Classifier-free guidance of the teacher, as in `sampler.guidance`. The student has it in its weights then."""
    fake_updates: int = Field(default=5, ge=1)
    """Updates of the fake score to one of the student."""
    fake_lr: float = Field(default=1e-3, gt=0)
    """Learning rate of the fake score."""
    fake_lora: LoraConfig | None = None
    """Train low-rank adapters on the teacher's weights as the fake score; a whole network where none is given."""
    gan: GanConfig | None = None
    """A head that tells clips from the student's videos; none where none is given."""
    regression: RegressionConfig | None = None
    """Regression on the teacher's ODE, of a one-step student; none where none is given."""
    fit: FitConfig = FitConfig(steps=20, batch=2, ema=0.9, optimizer=OptimizerConfig(lr=5e-4))
    """Steps, batch, seed, optimizer, workers."""

    @property
    def sampler(self) -> SamplerConfig:
        """The one way to sample the student."""
        return SamplerConfig(kind="renoise", steps=self.student_steps, shift=self.shift)

    def renoising(self, noise: NoiseConfig) -> NoiseConfig:
        """Return the noise that is added to the student's videos, given that of the teacher's training."""
        return noise.model_copy(update={"kind": self.renoise or noise.kind})

    @model_validator(mode="after")
    def _starts_elsewhere(self) -> Self:
        if self.start == self.name:
            raise ValueError(f"start: got {self.start!r}, which is the student's own name: give one of them another")
        return self

    @model_validator(mode="after")
    def _noise_alone_decides_what_is_regressed(self) -> Self:
        if self.regression and self.student_steps > 1:
            raise ValueError(
                f"regression: got student_steps={self.student_steps}, wanted 1: a student of several steps takes noise "
                "on its way, and no pair says what it should come to; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _is_validated_as_it_is_sampled(self) -> Self:
        validation = self.fit.validation
        if validation and validation.sampler not in (None, self.sampler):
            raise ValueError("fit.validation.sampler: a student is sampled as it was distilled: leave it out")
        return self


class RenderJob(Job):
    """Driving videos, or clips, and a model to videos."""

    job: Literal["render"] = "render"
    """Names the kind of spec."""
    name: Name = "render"
    """Name of this set of videos."""
    model: Name = "equivdm"
    """The newest model of that name."""
    source: SourceConfig | None = None
    """Driving videos, to be rendered whole, of any size and length. Where none is given, clips of the store are."""
    data: SelectConfig = SelectConfig()
    """The clips, where there is no source."""
    noise: NoiseConfig | None = None
    """Noise that a video starts from; the model's own training noise where none is given. What a student takes between
    its steps stays its own."""
    sampler: SamplerConfig | None = None
    """Solver; what suits the model where none is given. A student has its own, and no other."""
    use_control: bool = True
    """Whether the dense condition is given to the model."""
    seed: int = Field(default=0, ge=0)
    """With the clip's key, or the video's content, it decides the noise of every video."""
    output: OutputConfig = OutputConfig()
    """How a video is written. Clips have no sound."""
    work: RenderWork = RenderWork()
    """Spread and retries."""
    prompt: str | None = None
    """Of a source: the caption of all videos, in place of their own. Likewise all that follows."""
    frame: FrameConfig = FrameConfig()
    """The size at which videos are rendered, and written."""
    window: WindowConfig = WindowConfig()
    """The windows in which long ones are sampled."""
    shots: ShotsConfig = ShotsConfig(kind="cuts")
    """Where a video is cut: each shot has noise and windows of its own. Frames that fade belong to the shot before."""
    decode: DecodeConfig = DecodeConfig()
    """Limits of the decoder."""
    flow: FlowConfig = FlowConfig()
    """The motion."""
    plan: PlanConfig = PlanConfig()
    """The particles that carry the noise."""
    control: ControlConfig = ControlConfig()
    """The dense condition to compute; what the model was trained with."""

    @model_validator(mode="after")
    def _one_kind_of_input(self) -> Self:
        if self.source is not None and self.data != SelectConfig():
            raise ValueError("data: got clips beside source, wanted one of the two: leave data out to render source")
        fields = type(self).model_fields
        given = [name for name in _OF_SOURCE if getattr(self, name) != fields[name].get_default()]
        if self.source is None and given:
            raise ValueError(
                f"{given[0]}: got a setting of driving videos without a source, where clips are rendered as they were "
                f"preprocessed: give source, or leave {given[0]} out"
            )
        return self


_OF_SOURCE = ("prompt", "frame", "window", "shots", "decode", "flow", "plan", "control")
"""Fields of a render job that say something of driving videos only."""


class StudyConfig(Config):
    """One experiment on a claim of the paper."""

    experiment: Name
    """Its name."""
    seeds: int = Field(default=3, ge=1)
    """Trainings, from seed 0 on; each has its own clips, weights and noise."""
    spec: ExperimentSpec = ExperimentSpec()
    """How large it is."""


class ReproduceJob(Job):
    """Experiments to models, and to what is measured of them."""

    job: Literal["reproduce"] = "reproduce"
    """Names the kind of spec."""
    studies: tuple[StudyConfig, ...] = Field(min_length=1)
    """The experiments."""
    work: ReproduceWork = ReproduceWork()
    """Spread and retries."""


AnyJob = PreprocessJob | TrainJob | DistillJob | RenderJob | EvaluateJob | ReproduceJob
