"""One closed model per job. Pydantic only: a machine without torch or Ray can check and plan a job."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from equivdm.config import (
    BackboneConfig,
    ClipConfig,
    Config,
    ControlConfig,
    DecodeConfig,
    FlowConfig,
    NoiseConfig,
    PlanConfig,
    SamplerConfig,
    TinyConfig,
)

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
"""A name that is safe as a folder and as a column value: lower-case letters, digits, `_` and `-`."""

Decay = Annotated[float, Field(ge=0, lt=1)]
"""What a moving average keeps at each step."""


class StoreConfig(Config):
    """Where tables, checkpoints and videos lie."""

    root: str
    """A folder, or `s3://bucket/prefix`. S3 credentials and endpoint come from the usual AWS_* variables."""
    commit_every_s: float = Field(default=5.0, gt=0)
    """Finished items are committed at least this often, so that a killed job keeps them."""


class AccessConfig(Config):
    """How the S3 server of a source is reached. Credentials come from the usual chain (AWS_* variables, `~/.aws`, the
    machine's role), never from a spec. A folder needs none of it."""

    endpoint_url: str | None = Field(default=None, pattern=r"^https?://")
    """The server, such as `https://minio.example:9000`; that of the usual AWS_* variables where none is given. Say
    `https://s3.amazonaws.com` for a bucket of AWS where those variables point elsewhere, for the store."""
    anonymous: bool = False
    """Send requests unsigned, without any credentials: for public buckets."""
    region: str | None = None
    """Region of the bucket; that of the usual chain where none is given."""
    profile: str | None = None
    """Profile of `~/.aws` whose credentials to use; every machine of the cluster must have it."""

    @model_validator(mode="after")
    def _one_kind_of_access(self) -> Self:
        if self.anonymous and self.profile:
            raise ValueError(
                f"got anonymous=true and profile={self.profile!r}, wanted one of them: leave the other out"
            )
        return self


class SourceConfig(AccessConfig):
    """The videos."""

    root: str
    """A folder, or `s3://bucket/prefix`; searched recursively where there is no manifest. `NAME.txt` beside `NAME.mp4`
    is its caption."""
    manifest: str | None = Field(default=None, pattern=r"(?i)\.(parquet|csv|jsonl)$")
    """A Parquet, CSV or JSONL file, by its ending, with a row per video; then no other video is taken. A path, or `s3://`
    with the same access. Column `path`: below root, or beginning with it, without `..`. Column `caption`, if any: goes
    before `NAME.txt`, unless null (or empty, in CSV). All other columns become the video's metadata, one JSON object. A
    listed video that is not there fails as an item."""
    include: tuple[str, ...] = ("*",)
    """Patterns on the path below root; a video is taken where one matches."""
    exclude: tuple[str, ...] = ()
    """Patterns on the path below root; a video is left where one matches."""


class SelectConfig(Config):
    """Which clips of the store a job works on."""

    include: tuple[str, ...] = ("*",)
    """Patterns on the video's path below the source's root; a clip is taken where one matches."""
    exclude: tuple[str, ...] = ()
    """Patterns likewise; a clip is left where one matches (to hold videos out of training, for example)."""
    clips: str | None = None
    """Fingerprint (or its beginning) of the preprocess run to read, where the store holds several."""
    limit: int | None = Field(default=None, ge=1)
    """At most so many clips, the first by key."""


class CostConfig(Config):
    """What the machines cost. A run's record then has the cost of 1,000 clips."""

    cpu_hour: float = Field(ge=0)
    """Price of one CPU for an hour, whether it computes or waits."""
    gpu_hour: float = Field(default=0.0, ge=0)
    """Price of one GPU for an hour, likewise."""
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    """The currency's three letters."""


class RayConfig(Config):
    """The Ray cluster that a job runs on. None of it can change a result."""

    address: str | None = None
    """`auto` or a cluster's address; none starts an embedded Ray, unless RAY_ADDRESS is set (as in a submitted job)."""
    cpus: int | None = Field(default=None, ge=1)
    """CPUs of an embedded Ray; all of the machine where none is given."""
    object_store_mib: int = Field(default=512, ge=80)
    """Shared memory of an embedded Ray, in MiB."""
    cost: CostConfig | None = None
    """Prices of its machines, for the record of a run; no figure of cost where none are given."""


class WorkConfig(Config):
    """How the items of a batch job are spread and retried. None of it can change a result."""

    cpus_per_task: float = Field(default=1.0, gt=0)
    """CPUs that one task reserves."""
    cpus_per_actor: float = Field(default=1.0, gt=0)
    """CPUs that one model actor reserves."""
    gpus_per_actor: float = Field(default=0.0, ge=0)
    """GPUs that one model actor reserves; 0 computes on the CPU."""
    actors: int = Field(default=1, ge=1)
    """Model actors."""
    max_attempts: int = Field(default=3, ge=1)
    """Runs that may try an item before it is quarantined; a fault in the bytes themselves is final at once."""


class Job(Config):
    """What every job has."""

    store: StoreConfig
    """Where it reads and writes."""
    ray: RayConfig = RayConfig()
    """Where it runs."""


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
    flow: FlowConfig = FlowConfig()
    """The motion."""
    plan: PlanConfig = PlanConfig()
    """The particles that carry the noise."""
    control: ControlConfig = ControlConfig()
    """The dense condition to compute."""
    backbone: BackboneConfig = TinyConfig()
    """Whose latents to compute; only what decides the latents enters the clips' fingerprint."""
    materialize_noise: bool = False
    """Store one draw of warped noise a clip too, for other tools; training draws its own from the plan."""
    work: WorkConfig = WorkConfig()
    """Spread and retries."""


class OptimizerConfig(Config):
    """AdamW."""

    lr: float = Field(default=5e-3, gt=0)
    """Learning rate after warm-up."""
    warmup: int = Field(default=20, ge=0)
    """Steps of linear warm-up."""
    betas: tuple[Decay, Decay] = (0.9, 0.99)
    """Decay of the first and second moments."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled weight decay."""
    clip: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""


class ParallelConfig(Config):
    """Workers of Ray Train and their DeepSpeed engine."""

    workers: int = Field(default=1, ge=1)
    """Training processes."""
    cpus_per_worker: float = Field(default=2.0, gt=0)
    """CPUs, and so threads, of each."""
    gpus_per_worker: int = Field(default=0, ge=0, le=1)
    """1 trains on GPUs (bf16), 0 on CPUs (fp32)."""
    zero_stage: Literal[0, 1, 2] = 1
    """What DeepSpeed ZeRO shards: 0 nothing, 1 optimizer states, 2 gradients too."""
    max_failures: int = Field(default=2, ge=0)
    """Worker failures after which Ray Train gives up."""


class FitConfig(Config):
    """What training and distillation share."""

    steps: int = Field(default=200, ge=1)
    """Optimizer steps (of the student, in distillation)."""
    batch: int = Field(default=4, ge=1)
    """Clips of one step, over all workers."""
    seed: int = Field(default=0, ge=0)
    """Decides initial weights, order of the clips, and every noise draw."""
    ema: float = Field(default=0.98, ge=0, lt=1)
    """Decay of the moving average of the weights, which is what gets exported; it warms up as (1 + n) / (10 + n)."""
    report_every: int = Field(default=10, ge=1)
    """Steps between two reported losses."""
    checkpoint_every: int = Field(default=50, ge=1)
    """Steps between two checkpoints."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """The optimizer."""
    parallel: ParallelConfig = ParallelConfig()
    """Workers. Their number changes rounding only, and is no part of the fingerprint."""


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
    noise: NoiseConfig = NoiseConfig()
    """`noise.kind=independent` is the baseline."""
    control_dropout: float = Field(default=0.1, ge=0, le=1)
    """Share of samples that see an empty dense condition."""
    text_dropout: float = Field(default=0.1, ge=0, le=1)
    """Share of samples that see an empty caption."""
    fit: FitConfig = FitConfig()
    """Steps, batch, seed, optimizer, workers."""


class DistillJob(Job):
    """A model to a one-step student, by distribution matching."""

    job: Literal["distill"] = "distill"
    """Names the kind of spec."""
    name: Name = "student"
    """Name of the student in the store."""
    teacher: Name = "equivdm"
    """Name of the model to distil; the newest of that name."""
    data: SelectConfig = SelectConfig()
    """The clips."""
    noise: NoiseConfig | None = None
    """Noise of the student's input and of the re-noising; the teacher's own where none is given."""
    fake_updates: int = Field(default=5, ge=1)
    """Updates of the fake score to one of the student."""
    fake_lr: float = Field(default=1e-3, gt=0)
    """Learning rate of the fake score."""
    fit: FitConfig = FitConfig(steps=20, batch=2, ema=0.9, optimizer=OptimizerConfig(lr=5e-4))
    """Steps, batch, seed, optimizer, workers."""


class RenderJob(Job):
    """Clips and a model to videos."""

    job: Literal["render"] = "render"
    """Names the kind of spec."""
    name: Name = "render"
    """Name of this set of videos."""
    model: Name = "equivdm"
    """The newest model of that name."""
    data: SelectConfig = SelectConfig()
    """The driving clips."""
    noise: NoiseConfig | None = None
    """The model's own training noise where none is given."""
    sampler: SamplerConfig | None = None
    """Solver; a student brings its own one step where none is given."""
    use_control: bool = True
    """Whether the dense condition of the clip is given to the model."""
    seed: int = Field(default=0, ge=0)
    """With the clip's key it decides the noise of every video."""
    work: WorkConfig = WorkConfig()
    """Spread and retries."""


class EvaluateJob(Job):
    """Videos to metrics."""

    job: Literal["evaluate"] = "evaluate"
    """Names the kind of spec."""
    renders: tuple[Name, ...]
    """Names of the sets of videos to measure."""
    source: AccessConfig = AccessConfig()
    """How the report reaches the driving videos, which it shows: as in the preprocess job. No figure depends on it."""
    flow: FlowConfig = FlowConfig()
    """The estimator that judges motion."""
    decode: DecodeConfig = DecodeConfig()
    """Limits of the decoder."""
    bootstrap: int = Field(default=2000, ge=100)
    """Resamplings of the confidence intervals."""
    work: WorkConfig = WorkConfig()
    """Spread and retries."""


AnyJob = PreprocessJob | TrainJob | DistillJob | RenderJob | EvaluateJob
