"""The parts that jobs' configs are made of: store, source, cluster, work, filters. Pydantic only."""

import re
from typing import Annotated, Self
from zoneinfo import available_timezones

from pydantic import Field, StringConstraints, field_validator, model_validator

from equivdm.config import Config

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
"""A name that is safe as a folder and as a column value: lower-case letters, digits, `_` and `-`."""


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
    no_progress_s: int = Field(default=6 * 3600, ge=1)
    """Seconds without any finished step after which Ray Data gives the job up. Ray's own half an hour would end a job
    that has only the survey of a long video left."""
    cost: CostConfig | None = None
    """Prices of its machines, for the record of a run; no figure of cost where none are given."""


_TIMES = r"(\*|\w+(-\w+)?)(/\d+)?"


class ScheduleConfig(Config):
    """When a job recurs (`equivdm schedule`). None of it can change a result."""

    cron: str
    """Minute, hour, day of the month, month, day of the week, as cron has them: `0 2 * * *` is every night at two."""
    timezone: str = "Etc/UTC"
    """Where it is two o'clock, such as `Europe/Berlin`."""
    start_within_s: int = Field(default=3600, ge=60)
    """A run that could not start for so long is left out; the next one does its work as well."""

    @field_validator("cron")
    @classmethod
    def _cron_has_five_fields(cls, text: str) -> str:
        fields = text.split(" ")
        if len(fields) != 5 or not all(re.fullmatch(rf"{_TIMES}(,{_TIMES})*", field) for field in fields):
            raise ValueError(f"got {text!r}, wanted five fields as cron has them: for example '0 2 * * *'")
        return text

    @field_validator("timezone")
    @classmethod
    def _timezone_is_known(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError(f"got {name!r}, wanted the name of a time zone: for example Europe/Berlin")
        return name


class Job(Config):
    """What every job has."""

    store: StoreConfig
    """Where it reads and writes."""
    ray: RayConfig = RayConfig()
    """Where it runs."""
    schedule: ScheduleConfig | None = None
    """When it recurs."""


class Resources(Config):
    """What one step of a batch job takes of the cluster, for each item that it works on at a time."""

    cpus: float = Field(default=1.0, ge=0)
    """CPUs."""
    gpus: float = Field(default=0.0, ge=0)
    """GPUs; more than 0 puts the step on actors. 0 computes on the CPU."""
    memory_mib: int = Field(default=0, ge=0)
    """Memory that Ray sets aside, in MiB; 0 leaves it out of account."""
    actors: int = Field(default=0, ge=0)
    """Processes that stay, for a step that loads a network; 0 runs tasks, or one actor where the step has GPUs."""

    @property
    def on_actors(self) -> bool:
        """Whether the step holds its resources from the first item to the last."""
        return bool(self.actors or self.gpus)


class RenderWork(Config):
    """How the steps of render are spread and retried. None of it can change a result."""

    model: Resources = Resources(actors=1)
    """Of the model: an actor holds network and codec, samples, and decodes."""
    probe: Resources = Resources()
    """Of finding a driving video's frames and shots."""
    motion: Resources = Resources()
    """Of following the motion of a shot: decoding, flow, particles."""
    windows: Resources = Resources()
    """Of a window's frames, dense condition and noise; neighbouring steps with the same needs run as one task."""
    texts: Resources = Resources()
    """Of the captions. A large text encoder wants a GPU."""
    write: Resources = Resources()
    """Of encoding a video."""
    max_attempts: int = Field(default=3, ge=1)
    """Runs that may try a video before it is quarantined; a fault in the bytes themselves is final at once."""


class ReproduceWork(Config):
    """How models and measurements of experiments are spread and retried.

    Another number of CPUs is another number of threads, which may add in another order: numbers then differ in their
    last digits, and keys do not tell. Nothing else here can change a result."""

    model: Resources = Resources()
    """Of making a model."""
    measure: Resources = Resources()
    """Of measuring an experiment for a seed."""
    max_attempts: int = Field(default=3, ge=1)
    """Runs that may try an item before it is quarantined."""


class PreprocessWork(Config):
    """How the stages of preprocess are spread and retried. None of it can change a result."""

    probe: Resources = Resources()
    """Of finding a video's windows."""
    decode: Resources = Resources()
    """Of decoding a window; neighbouring steps with the same needs run as one task."""
    motion: Resources = Resources()
    """Of the flow."""
    plans: Resources = Resources()
    """Of occlusion and the motion plan."""
    controls: Resources = Resources()
    """Of the dense condition."""
    texts: Resources = Resources()
    """Of the captions. A large text encoder wants a GPU, too."""
    latents: Resources = Resources()
    """Of the backbone's encoder, which some are shown the dense condition through, too. A large one wants a GPU, which
    puts it on actors; a small one on the CPU is better off in the tasks of the other steps, as an actor would keep a
    CPU from them while it waits."""
    max_attempts: int = Field(default=3, ge=1)
    """Runs that may try an item before it is quarantined; a fault in the bytes themselves is final at once."""


class FiltersConfig(Config):
    """Which windows are left out. A rule without a threshold is not asked; another threshold decodes nothing again."""

    max_black: float | None = Field(default=0.9, ge=0, le=1)
    """`black`: largest share of frames that are black."""
    min_contrast: float | None = Field(default=2.0, ge=0)
    """`flat`: least standard deviation of luma within a frame, of 255 levels, averaged over the frames."""
    max_frozen: float | None = Field(default=0.9, ge=0, le=1)
    """`static`: largest share of steps from a frame to the next in which nothing moves."""
    max_bars: float | None = Field(default=None, ge=0, le=1)
    """`bars`: largest share of rows, or of columns, that are black bars at the edges."""
    max_speed: float | None = Field(default=0.25, gt=0)
    """`too_much_motion`: largest 95th percentile of speed, in heights of the frame a frame."""
    max_disagreement: float | None = Field(default=0.6, ge=0, le=1)
    """`low_flow_confidence`: largest share of pixels, of those that stay in view, where forward and backward flow
    disagree."""
