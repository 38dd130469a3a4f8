"""What a training takes of a device's memory and time, before anything runs: from sizes, without torch.

Memory is that of one worker, as the loop holds it: weights, gradients and their average in float32, AdamW's two moments
and, under ZeRO, its own copy of the weights. Time rests on an assumption, the share of a device's peak that is reached.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from equivdm.backbones import backbone_of
from equivdm.backbones.backbone import Backbone
from equivdm.config import Bucket
from equivdm.errors import UsageError
from equivdm.footprint import Footprint, Micro, adapter_parameters
from pipelines.config import DistillJob, TrainJob
from pipelines.devices import DEVICES
from pipelines.fit_config import FitConfig

BUCKET = 500_000_000
"""Gradients that DeepSpeed gathers before it reduces them, in one buffer that is there whatever the model."""

GATHERED = 1_000_000_000
"""Weights that ZeRO 3 has whole at once, at most."""

FLOAT = 4
"""Bytes of a float32."""


@dataclass(frozen=True)
class Estimate:
    """What a training takes."""

    parameters: int
    trained: int
    """Of them; with adapters these alone."""
    clip: tuple[int, int, int]
    """Frames, height and width of the largest clips."""
    on_device: Mapping[str, float]
    """Bytes of one worker by what they hold, those of its GPU, or of its machine where it trains on CPUs."""
    on_host: Mapping[str, float]
    """Bytes of one worker in its machine's memory beside that: what is offloaded, and what is read at the start."""
    saved: float
    """Bytes of the first worker in its machine's memory beside that, while it writes the average."""
    device: str
    memory: float
    """Bytes that the device has."""
    advice: str | None
    """What to change where that is not enough."""
    flops: float
    """Of a step, over all workers: forward, backward, and what is computed again."""
    useful: float
    """The same without what is computed again: those of MFU."""
    mfu: float
    """Share of the device's peak that is assumed, of the forward and backward pass alone."""
    seconds_per_step: float
    hours: float
    """Of the whole job, validation and waiting left out."""
    cost: float | None
    """Of its GPUs and CPUs; None without prices."""

    machine: float
    """Bytes that all workers take of one machine's memory, where they share it."""

    @property
    def bytes(self) -> float:
        """Bytes of one worker on its device, in all."""
        return sum(self.on_device.values())


def estimate(config: TrainJob, clip: Bucket, device: str = "h200", mfu: float = 0.4) -> Estimate:
    """Estimate a training on clips of one size.

    Raises UsageError where the network's sizes are not known, or it cannot take such clips.
    """
    backbone, fit = backbone_of(config.backbone), config.fit
    footprint, micro = backbone.footprint(), micro_of(backbone, fit, clip)
    adapters = adapter_parameters(footprint.linears, config.lora.rank) if config.lora else 0
    parameters, trained = footprint.parameters + adapters, adapters or footprint.parameters
    on_device, on_host = held(parameters, trained, fit)
    on_device["activations"] = kept(footprint, micro, fit)
    # A network that is drawn is drawn whole; one that files hold is read a tensor at a time.
    drawn = backbone.drawn and config.start is None
    on_host["loading"] = FLOAT * (footprint.parameters if drawn else footprint.largest)
    useful, computed = _flops(config, footprint, micro)
    adapters_of = "lora" if config.lora is None else None
    sums = Sums(parameters, trained, trained, on_device, on_host, useful, computed, adapters_of)
    return add_up(config, clip, sums, device, mfu)


def kept(footprint: Footprint, micro: Micro, fit: FitConfig) -> float:
    """Return the bytes of one network's activations."""
    return footprint.kept(micro, mixed=fit.parallel.gpus_per_worker > 0, recompute=fit.checkpoint_activations)


@dataclass(frozen=True)
class Sums:
    """What a job's networks come to."""

    parameters: int
    trained: int
    exported: int
    on_device: Mapping[str, float]
    on_host: Mapping[str, float]
    useful: float
    computed: float
    adapters: str | None
    """Setting by which adapters would be trained instead of a network; None where they are."""


def add_up(config: TrainJob | DistillJob, clip: Bucket, sums: Sums, device: str, mfu: float) -> Estimate:
    """Return what a job takes."""
    fit, known = config.fit, DEVICES[device]
    mixed, on_device = fit.parallel.gpus_per_worker > 0, sums.on_device
    saved = FLOAT * sums.exported if mixed or fit.parallel.zero_stage == 3 else 0.0
    own = sum(sums.on_host.values()) + (0 if mixed else sum(on_device.values()))
    seconds = sums.useful / (known.flops * mfu * fit.parallel.workers)
    hours = fit.steps * seconds / 3600
    return Estimate(
        parameters=sums.parameters,
        trained=sums.trained,
        clip=(clip.frames, clip.height, clip.width),
        on_device=on_device,
        on_host=sums.on_host,
        saved=saved,
        machine=fit.parallel.workers * own + saved,
        device=device,
        memory=known.memory,
        advice=None if sum(on_device.values()) <= known.memory else _advice(fit, on_device, sums.adapters),
        flops=sums.computed,
        useful=sums.useful,
        mfu=mfu,
        seconds_per_step=seconds,
        hours=hours,
        cost=_cost(config, hours),
    )


def micro_of(backbone: Backbone, fit: FitConfig, clip: Bucket) -> Micro:
    """Return the micro-batch of one worker. Raises UsageError where there cannot be one."""
    geometry = backbone.geometry
    clips, rest = divmod(fit.batch, fit.parallel.workers * fit.accumulate)
    if rest or not clips:
        raise UsageError(
            f"fit.batch: got {fit.batch} clips for {fit.parallel.workers} workers with {fit.accumulate} micro-batches "
            "each, wanted a multiple of their product: change one of them"
        )
    try:
        rows, columns = geometry.grid(clip.height, clip.width)
        return Micro(clips, len(geometry.frame_indices(clip.frames)), rows, columns)
    except ValueError as error:
        raise UsageError(f"backbone: {error}") from error


def held(parameters: int, trained: int, fit: FitConfig) -> tuple[dict[str, float], dict[str, float]]:
    """Return what is held from one step to the next, and through it, on the device and beside it."""
    stage, workers = fit.parallel.zero_stage, fit.parallel.workers
    share, moments = trained / workers if stage else trained, 2
    weights = parameters / workers if stage == 3 else parameters
    device: dict[str, float] = {
        "weights": FLOAT * weights,
        "gradients": FLOAT * (share if stage >= 2 else trained),
        "average": FLOAT * (share if stage == 3 else trained),
    }
    host: dict[str, float] = {}
    if fit.parallel.offload == "parameters":
        host |= {name: device.pop(name) for name in ("weights", "average")}
    states = FLOAT * share * (moments + (1 if stage else 0))  # ZeRO keeps weights of its own to step on
    if fit.parallel.offload != "none":
        host["optimizer"] = states + 2 * FLOAT * share  # and the gradients: as they arrive, and as it steps on them
        device["gradients"] = FLOAT * (0 if stage >= 2 else trained)
    else:
        device["optimizer"] = states
    if stage:
        device["buffers"] = FLOAT * BUCKET + (FLOAT * min(parameters, GATHERED) if stage == 3 else 0)
    return device, host


def _flops(config: TrainJob, footprint: Footprint, micro: Micro) -> tuple[float, float]:
    """Return the operations of a step over all workers: those of MFU, and with those that are done again.

    A backward pass has one product for a layer's input and one for its weights; frozen ones need the first only.
    """
    fit = config.fit
    forward = footprint.flops(micro) * fit.parallel.workers * fit.accumulate
    useful = forward * (2 if config.lora else 3)
    return useful, useful + (forward if fit.checkpoint_activations else 0)


def _advice(fit: FitConfig, held: Mapping[str, float], adapters: str | None) -> str:
    """Say what to change first: what takes no more time comes before what does."""
    parallel, largest = fit.parallel, max(held, key=lambda name: held[name])
    if largest == "activations":
        steps = {
            "set fit.checkpoint_activations=true": not fit.checkpoint_activations,
            f"set fit.accumulate={2 * fit.accumulate}": fit.batch > parallel.workers * fit.accumulate,
            "take smaller or shorter clips": True,
        }
    else:
        steps = {
            "set fit.parallel.zero_stage=3": parallel.workers > 1 and parallel.zero_stage < 3,
            "set fit.parallel.offload=optimizer": parallel.offload == "none",
            "set fit.parallel.offload=parameters": parallel.zero_stage == 3 and parallel.offload == "optimizer",
            f"train adapters ({adapters}.rank=16), or take more workers": adapters is not None,
            "take more workers": True,
        }
    return f"too little, {largest} are most of it: {next(step for step, helps in steps.items() if helps)}"


def _cost(config: TrainJob | DistillJob, hours: float) -> float | None:
    prices, parallel = config.ray.cost, config.fit.parallel
    if prices is None:
        return None
    return (
        hours
        * parallel.workers
        * (prices.gpu_hour * parallel.gpus_per_worker + prices.cpu_hour * parallel.cpus_per_worker)
    )
