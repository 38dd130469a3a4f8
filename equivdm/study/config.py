"""What a model of a study is made of, and how large a study is. Pydantic only; a model is a function of its spec."""

import hashlib
import json
from collections.abc import Iterable
from typing import Literal

from pydantic import Field, model_validator

from equivdm.config import Config, ControlConfig, TinyConfig


class DataSpec(Config):
    """Generated clips whose motion is known exactly."""

    kind: Literal["scenes", "exact", "subpixel"] = "scenes"
    """`scenes`: photographic layers under a moving camera, with shapes that pass in front; `exact`: one photograph
    under shifts by whole cells on a torus, quarter turns or flips, which move the latents alike; `subpixel`: one
    photograph under shifts by parts of a cell."""
    frames: int = Field(default=8, ge=2)
    """Frames of a clip."""
    height: int = Field(default=64, ge=16)
    """Pixels."""
    width: int = Field(default=64, ge=16)
    """Pixels; of `exact` clips as many as `height`, for the turns."""
    train: int = Field(default=96, ge=1)
    """Clips to train on."""
    held_out: int = Field(default=12, ge=1)
    """Clips to measure on: other cuttings of the same photographs, under other motion."""
    control: ControlConfig = ControlConfig(kind="soft_edge")
    """The dense condition."""

    @model_validator(mode="after")
    def _exact_is_square(self) -> "DataSpec":
        if self.kind == "exact" and self.height != self.width:
            raise ValueError(f"width: got {self.width}, wanted height, {self.height}: exact clips are turned")
        return self


class NoiseSpec(Config):
    """The law of the noise that a model is trained and sampled with."""

    scheme: Literal["particles", "independent", "nearest", "bilinear", "go_with_the_flow"] = "particles"
    """How noise is carried along the flow: this project's particles, not at all, or as others do (step by step at the
    video's own size, then summed over the pixels of a cell). Clips of kind `exact` have T_k eps^(0) instead, for any
    scheme but `independent`."""
    beta: float = Field(default=0.9, ge=0, le=1)
    """eps = beta * eps_warped + sqrt(1 - beta^2) * eps_independent; of no meaning for `independent`."""
    flow: Literal["exact", "noisy", "other_clip"] = "exact"
    """What the noise follows: the clip's flow, the same with smooth errors, or the flow of another clip."""
    flow_error: float = Field(default=1.0, ge=0)
    """Of `noisy`: root mean square of each component's error, in pixels."""
    occlusion: bool = True
    """Whether noise is dropped where it gets hidden; without it only what leaves the frame is."""
    stored: bool = False
    """Whether a clip has one draw, made once, for all of its training; fresh in every step otherwise."""


class StudentSpec(Config):
    """Distribution matching distillation to one step; the model that a spec names as `base` is the teacher."""

    fake_updates: int = Field(default=2, ge=1)
    """Updates of the fake score to one of the student."""
    fake_lr: float = Field(default=2e-3, gt=0)
    """Learning rate of the fake score."""
    regression: float = Field(default=0.0, ge=0)
    """Weight of the regression on the teacher's ODE (DMD, eq. 9)."""
    ode_steps: int = Field(default=4, ge=1)
    """Euler steps of that ODE."""
    shift: float = Field(default=1.0, gt=0)
    """Times of the re-noising are shift t / (1 + (shift - 1) t)."""


class ModelSpec(Config):
    """All that decides a model's weights."""

    seed: int = 0
    """Of data, initial weights, order, times and noise."""
    backbone: TinyConfig = TinyConfig()
    """The network."""
    data: DataSpec = DataSpec()
    """What it is trained on."""
    noise: NoiseSpec = NoiseSpec()
    """What it is trained with, and sampled with."""
    steps: int = Field(default=200, ge=1)
    """Updates."""
    batch: int = Field(default=4, ge=1)
    """Clips of an update."""
    lr: float = Field(default=4e-3, gt=0)
    """Peak learning rate of AdamW."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """Of the learning rate: `cosine` falls to a hundredth."""
    warmup: int = Field(default=10, ge=0)
    """Updates over which the learning rate rises."""
    ema_decay: float = Field(default=0.98, ge=0, lt=1)
    """Of the moving average of the weights, which is the model."""
    control_share: float = Field(default=0.5, ge=0, le=1)
    """Share of samples that are shown the dense condition; the others are shown none."""
    base: "ModelSpec | None" = None
    """What it starts from; fresh weights where none is given."""
    student: StudentSpec | None = None
    """Makes it a one-step student of `base`."""

    @property
    def key(self) -> str:
        """Return the name of the model: a hash of the whole spec."""
        text = json.dumps(self.model_dump(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def lineage(self) -> "tuple[ModelSpec, ...]":
        """Return what has to be made for it, in order, itself last."""
        return (*(self.base.lineage if self.base else ()), self)


def in_order(specs: Iterable[ModelSpec]) -> list[ModelSpec]:
    """Return all models that have to be made for these, each once and behind what it starts from."""
    return list({each.key: each for spec in specs for each in spec.lineage}.values())


class ExperimentSpec(Config):
    """How large the experiments are; the defaults suit two CPU cores (docs/reproduce.md)."""

    scenes: DataSpec = DataSpec(height=48, width=48)
    """Data of all experiments but `theorem41`."""
    exact: DataSpec = DataSpec(kind="exact", height=48, width=48)
    """Data of `theorem41`; its sub-pixel clips are of the same size."""
    tracked: DataSpec = DataSpec(height=128, width=128, train=1, held_out=6)
    """Data of `tracked_points`, which trains nothing: large enough for an autoencoder whose cells have 8 pixels."""
    backbone: TinyConfig = TinyConfig()
    """The network of all models."""
    batch: int = Field(default=4, ge=1)
    """Clips of an update."""
    base_steps: int = Field(default=1500, ge=1)
    """Updates of the model that all others of a seed start from; it has independent noise, as pretrained ones do."""
    base_lr: float = Field(default=6e-3, gt=0)
    """Its learning rate."""
    tune_steps: int = Field(default=240, ge=1)
    """Updates of each model that starts from it; the baseline goes on with independent noise for as many."""
    tune_lr: float = Field(default=4e-3, gt=0)
    """Their learning rate."""
    student_steps: int = Field(default=100, ge=1)
    """Updates of a student."""
    student_lr: float = Field(default=1e-3, gt=0)
    """Its learning rate."""
    student: StudentSpec = StudentSpec()
    """How students are made."""
    beta: float = Field(default=0.9, ge=0, le=1)
    """Share of the warped part where it is not the question."""
    betas: tuple[float, ...] = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
    """Of the sweep."""
    times: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9, 0.98)
    """At which equivariance is measured."""
    step_counts: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    """Of the sampler, in `steps`."""
    sampler_steps: int = Field(default=8, ge=1)
    """Of the sampler elsewhere (Euler)."""
    draws: int = Field(default=1, ge=1)
    """Samples of each held-out clip."""
    points: int = Field(default=200, ge=1)
    """Tracked points of a clip, at most."""
    videos: int = Field(default=2, ge=0)
    """Clips of each variant that are kept as videos."""
    autoencoder: str | None = None
    """Of `tracked_points`: path of TAEF2's encoder (taef2_encoder.pth). Its rows are left out where none is given."""
    device: str = "cpu"
    """Where networks run."""

    @model_validator(mode="after")
    def _data_are_of_their_kinds(self) -> "ExperimentSpec":
        for name, wanted in {"scenes": "scenes", "exact": "exact", "tracked": "scenes"}.items():
            if (got := getattr(self, name).kind) != wanted:
                raise ValueError(f"{name}.kind: got {got}, wanted {wanted}: experiments measure it as that")
        return self


TINY = ExperimentSpec(
    scenes=DataSpec(frames=3, height=32, width=32, train=4, held_out=2),
    exact=DataSpec(kind="exact", frames=3, height=32, width=32, train=4, held_out=3),
    tracked=DataSpec(frames=3, height=32, width=32, train=1, held_out=2),
    backbone=TinyConfig(width=16, depth=1, heads=2),
    batch=2,
    base_steps=2,
    tune_steps=2,
    student_steps=1,
    betas=(0.0, 1.0),
    times=(0.5, 0.9),
    step_counts=(1, 2),
    sampler_steps=2,
    videos=1,
)
"""For tests: each experiment in a second."""
