"""How models are fitted: optimizer, workers, steps. Pydantic only."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from equivdm.config import Config, FlowConfig, SamplerConfig
from pipelines.settings import SelectConfig

Decay = Annotated[float, Field(ge=0, lt=1)]
"""What a moving average keeps at each step."""


class OptimizerConfig(Config):
    """AdamW."""

    lr: float = Field(default=5e-3, gt=0)
    """Learning rate after warm-up."""
    warmup: int = Field(default=20, ge=0)
    """Steps of linear warm-up."""
    schedule: Literal["constant", "cosine"] = "constant"
    """After warm-up: `constant` stays at `lr`; `cosine` falls along half a cosine and ends with the last step."""
    lr_floor: float = Field(default=0.0, ge=0, le=1)
    """Of `cosine`: what it falls to, as a share of `lr`."""
    betas: tuple[Decay, Decay] = (0.9, 0.99)
    """Decay of the first and second moments."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled weight decay."""
    clip: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""

    @model_validator(mode="after")
    def _only_a_cosine_has_a_floor(self) -> "OptimizerConfig":
        if self.lr_floor and self.schedule != "cosine":
            raise ValueError(
                f"lr_floor: got {self.lr_floor} with schedule={self.schedule}, wanted schedule=cosine: "
                "set that, or leave the floor out"
            )
        return self


class ParallelConfig(Config):
    """Workers of Ray Train and their DeepSpeed engine."""

    workers: int = Field(default=1, ge=1)
    """Training processes."""
    cpus_per_worker: float = Field(default=2.0, gt=0)
    """CPUs, and so threads, of each."""
    gpus_per_worker: int = Field(default=0, ge=0, le=1)
    """1 trains on GPUs (bf16), 0 on CPUs (fp32)."""
    zero_stage: Literal[0, 1, 2, 3] = 1
    """What DeepSpeed ZeRO shards: 0 nothing, 1 optimizer states, 2 gradients too, 3 weights and their average too."""
    offload: Literal["none", "optimizer", "parameters"] = "none"
    """`optimizer` keeps the optimizer's states in the machine's memory, and steps there; of ZeRO 1 and above.
    `parameters` keeps the weights and their average there too; of ZeRO 3."""
    max_failures: int = Field(default=2, ge=0)
    """Worker failures after which Ray Train gives up."""

    @model_validator(mode="after")
    def _zero_offloads(self) -> "ParallelConfig":
        if self.offload != "none" and not self.zero_stage:
            raise ValueError(f"offload: got {self.offload} with zero_stage=0, wanted a ZeRO stage: set zero_stage=1")
        if self.offload == "parameters" and self.zero_stage < 3:
            raise ValueError(
                f"offload: got parameters with zero_stage={self.zero_stage}, wanted 3, which alone partitions them: "
                "set zero_stage=3, or offload=optimizer"
            )
        return self


class ValidateConfig(Config):
    """Sample videos for a few clips while a model trains, and measure them."""

    every: int = Field(default=100, ge=1)
    """Steps between two validations; there is one after the last step too."""
    data: SelectConfig
    """The clips: a few, which `data.exclude` of the job holds out of training. Each is sampled with its own warped
    noise, the same every time."""
    sampler: SamplerConfig | None = None
    """Solver; what suits the model where none is given."""
    flow: FlowConfig = FlowConfig()
    """The estimator that judges motion."""


class FitConfig(Config):
    """What training and distillation share."""

    steps: int = Field(default=200, ge=1)
    """Optimizer steps (of the student, in distillation)."""
    batch: int = Field(default=4, ge=1)
    """Clips of one optimizer step, over all workers and micro-batches."""
    accumulate: int = Field(default=1, ge=1)
    """Micro-batches of a step: more need less memory. Changes rounding only, and is no part of the fingerprint."""
    checkpoint_activations: bool = False
    """Compute the activations of each block again in the backward pass instead of keeping them: a third more work, less
    memory. Changes no result, and is no part of the fingerprint."""
    seed: int = Field(default=0, ge=0)
    """Decides initial weights, order of the clips, and every noise draw."""
    ema: float = Field(default=0.98, ge=0, lt=1)
    """Decay of the moving average of the weights, which is what gets exported; it warms up as (1 + n) / (10 + n)."""
    report_every: int = Field(default=10, ge=1)
    """Steps between two reported losses."""
    checkpoint_every: int = Field(default=50, ge=1)
    """Steps between two checkpoints."""
    validation: ValidateConfig | None = None
    """Videos sampled while it trains: figures `val_...` beside the loss, and files in the model's folder. No weight
    depends on it."""
    on_nan: Literal["stop", "skip"] = "stop"
    """What a loss or a gradient that is not finite does: `skip` leaves that step's update out, on all workers. A run
    that it stopped goes on from its checkpoint with `skip`. No part of the fingerprint: runs that meet none are alike.
    """
    max_skipped: int = Field(default=10, ge=0)
    """Updates of the whole run that may be left out before it stops."""
    on_bad_clip: Literal["stop", "skip"] = "stop"
    """What a clip does whose stored row is damaged, gone, or of another backbone: with `skip` another clip of its size
    stands in, always the same one for that seed and place. No part of the fingerprint either."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """The optimizer."""
    parallel: ParallelConfig = ParallelConfig()
    """Workers. Their number changes rounding only, and is no part of the fingerprint."""
