"""What a job would do, before anything runs: what is pending, what it would write, how long that takes and costs.

Every figure of time, bytes and cost is that of runs before, of the same kind of job in the same store. Where nothing
was measured yet, there is none.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import prod

import numpy as np
import pyarrow as pa

from equivdm.config import Bucket
from equivdm.errors import UsageError
from pipelines import evaluate, preprocess
from pipelines.arrow import compute
from pipelines.batch import Items, count, pending, waves
from pipelines.capacity import Capacity, Load, Machines, capacity
from pipelines.clips import select_clips
from pipelines.config import AnyJob, DistillJob, EvaluateJob, PreprocessJob, RenderJob, ReproduceJob, TrainJob
from pipelines.estimate import Estimate, estimate
from pipelines.estimate_distill import estimate_distillation
from pipelines.evaluation.items import evaluation_of
from pipelines.evaluation.listing import list_sources, unknown_films
from pipelines.evaluation.measuring import STEPS
from pipelines.inputs import job_inputs
from pipelines.manifest import unknown_videos
from pipelines.models import newest_model
from pipelines.progress import progress
from pipelines.record import read_records
from pipelines.rendering.drives import unknown_drives
from pipelines.rendering.films import Films
from pipelines.settings import CostConfig, Resources
from pipelines.sources import list_videos
from pipelines.stages import OF_PIXELS, lacking, stage_fingerprints
from pipelines.states import States
from pipelines.store import Store, open_store
from pipelines.tables import Table
from pipelines.tally import Sums

_RUNS = 5
"""Finished runs that computed something, the newest, over which means are taken."""

_RECORDS = 100
"""Records that are read at most to find them."""


@dataclass(frozen=True)
class StagePlan:
    """One stage of a job."""

    name: str
    items: int
    """Items that lack it, at most: those that a stage before leaves out are spared it."""
    expected: float | None
    """The same with the windows of videos that are not probed yet, at this layout's mean; None before the first."""
    seconds_each: float | None
    """Mean time of a worker; None where it was never measured, likewise `bytes_each`."""
    bytes_each: float | None
    """Mean size of what it writes."""
    cpus: float
    """That one worker reserves."""
    gpus: float


@dataclass(frozen=True)
class Plan:
    """What a job would do."""

    job: str
    counts: Mapping[str, int]
    """inputs, done, filtered, quarantined, pending. A video that was never probed counts as one."""
    unprobed: int
    """Videos whose windows are not known yet, or could not be told so far."""
    windows_per_video: float | None
    """Mean of the videos that were probed for this layout; None before the first."""
    stages: tuple[StagePlan, ...]
    measured: tuple[str, ...]
    """Names of the runs over which means were taken."""
    cpu_hours: float | None
    """Of the CPUs that workers reserve while they compute; start-up and idle CPUs come on top. None where a stage that
    is needed was never measured, likewise the rest."""
    gpu_hours: float | None
    bytes: float | None
    """That stages will write."""
    cost: float | None
    """None without prices, too."""
    currency: str
    estimate: Estimate | None
    """Of training on GPUs."""
    capacity: Capacity | None = None
    """By the clock, where machines were given; None where a stage that is needed was never measured, too."""


def make_plan(config: AnyJob, device: str = "h200", mfu: float = 0.4, machines: Machines | None = None) -> Plan:
    """Plan a job. Nothing is computed, and nothing written but the store's own write probe.

    `device` and `mfu` are those of `pipelines.estimate`, for training on GPUs. `machines` are those that a batch job is
    planned for.

    Raises UsageError where the job cannot work as given, or not on these machines.
    """
    if machines is not None and isinstance(config, TrainJob | DistillJob):
        raise UsageError("--cpus: a training is planned for its own fit.parallel: leave --cpus and --gpus out")
    store = open_store(config.store)
    means, runs = measured(store, config.job)
    if isinstance(config, PreprocessJob):
        needs = _of_preprocess(config, store)
    elif isinstance(config, RenderJob) and config.source:
        needs = _of_films(Films(config, store, newest_model(store, config.model)))
    elif isinstance(config, EvaluateJob):
        needs = _of_evaluation(config, store)
    else:
        table, items = job_inputs(config, store)
        needs = _Needs(count(items.keys, table.states()))
        name, worker, each = _one_stage(config)
        needs.workers[name], needs.items[name] = worker, needs.counts["pending"] * each
    stages = tuple(_stage(name, needs, means.get(name, Sums())) for name in needs.workers)
    cpu_hours = _total([(stage.expected, stage.seconds_each, stage.cpus / 3600) for stage in stages])
    gpu_hours = _total([(stage.expected, stage.seconds_each, stage.gpus / 3600) for stage in stages])
    prices = config.ray.cost
    return Plan(
        job=config.job,
        counts=dict(needs.counts),
        unprobed=needs.unprobed,
        windows_per_video=needs.windows_per_video,
        stages=stages,
        measured=runs,
        cpu_hours=cpu_hours,
        gpu_hours=gpu_hours,
        bytes=_total([(stage.expected, stage.bytes_each, 1.0) for stage in stages]),
        cost=_cost(cpu_hours, gpu_hours, prices),
        currency="" if prices is None else prices.currency,
        estimate=_estimated(config, store, device, mfu),
        capacity=None if machines is None else _on(machines, stages),
    )


def _on(machines: Machines, stages: Sequence[StagePlan]) -> Capacity | None:
    loads = []
    for stage in stages:
        if stage.expected is None or (stage.expected and stage.seconds_each is None):
            return None
        loads.append(Load(stage.name, stage.expected, stage.seconds_each or 0.0, stage.cpus, stage.gpus))
    return capacity(loads, machines)


def _estimated(config: AnyJob, store: Store, device: str, mfu: float) -> Estimate | None:
    """Return what a training on GPUs takes for the largest clips that it is to see."""
    if not isinstance(config, TrainJob | DistillJob) or not config.fit.parallel.gpus_per_worker:
        return None
    sizes = {(row["frames"], row["height"], row["width"]) for row in select_clips(store, config.data)}
    frames, height, width = max(sizes, key=prod)
    clip = Bucket(frames=frames, height=height, width=width)
    if isinstance(config, DistillJob):
        return estimate_distillation(config, newest_model(store, config.teacher).backbone, clip, device, mfu)
    return estimate(config, clip, device, mfu)


def measured(store: Store, job: str) -> tuple[dict[str, Sums], tuple[str, ...]]:
    """Add up the newest finished runs of a kind of job, by stage; say which."""
    found = (record for record in islice(read_records(store, job), _RECORDS) if record.status == "finished")
    records = list(islice((record for record in found if any(stage.items for stage in record.stages)), _RUNS))
    sums: dict[str, Sums] = {}
    for stage in (stage for record in records for stage in record.stages):
        own = Sums(Counter(worked=stage.items), stage.seconds, stage.bytes_in, stage.bytes_out)
        sums[stage.name] = sums.get(stage.name, Sums()) + own
    return sums, tuple(record.run for record in records)


class _Needs:
    """What is to be done, gathered."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self.counts = counts
        self.workers: dict[str, Resources] = {}
        self.items: Counter[str] = Counter()
        self.unprobed = 0
        self.windows_per_video: float | None = None


def _one_stage(config: AnyJob) -> tuple[str, Resources, int]:
    """Return name, resources and steps an item of a job's only stage."""
    match config:
        case TrainJob() | DistillJob():
            parallel = config.fit.parallel
            workers = parallel.workers
            cpus, gpus = workers * parallel.cpus_per_worker, workers * parallel.gpus_per_worker
            return "steps", Resources(cpus=cpus, gpus=gpus), config.fit.steps
        case RenderJob():
            return "render", config.work.model, 1
        case ReproduceJob():
            return "models", config.work.model, 1
    raise AssertionError(f"{config.job} has more stages than one")


def _of_preprocess(config: PreprocessJob, store: Store) -> _Needs:
    preprocess.check_size(config)
    with progress("plan: list", None) as advance:
        videos = list_videos(config.source)
        advance(len(videos))
    table, items = preprocess.inputs(config, store, videos)
    needs = _Needs(count(items.keys, table.states()))
    needs.unprobed = len(unknown_videos(store, config, videos))
    needs.workers = {"probe": config.work.probe, **preprocess.steps_of(config)}
    windows = _count_lacking(needs, config, store, table, items)
    needs.items["probe"] = needs.unprobed
    if probed := len(videos) - needs.unprobed:
        needs.windows_per_video = windows / probed
    return needs


def _of_films(films: Films) -> _Needs:
    films.check()
    with progress("plan: list", None) as advance:
        videos = list_videos(films.source)
        advance(len(videos))
    table, items = films.inputs(videos)
    needs, work = _Needs(count(items.keys, table.states())), films.job.work
    needs.unprobed = len(unknown_drives(films.store, films.job, videos))
    needs.workers = {"probe": work.probe, "shots": work.motion, **films.steps, "sample": work.model}
    with progress("plan: videos", None) as advance:
        for wave in waves(items, table, ""):
            needs.items.update(films.lacking(wave))
            advance(len(wave))
    known = needs.counts["pending"] - needs.unprobed
    needs.items["probe"] = needs.unprobed
    needs.windows_per_video = needs.items["frames"] / known if known > 0 else None
    return needs


def _of_evaluation(config: EvaluateJob, store: Store) -> _Needs:
    with progress("plan: list", None) as advance:
        listing = list_sources(config)
        advance(len(listing.every))
    found = evaluation_of(config, store, listing)
    states, items = found.table.states(), found.items()
    needs = _Needs(count(items.keys, states))
    needs.unprobed = len(unknown_films(store, listing))
    needs.workers = {"probe": config.work.probe, **evaluate.steps_of(found)}
    needs.items["probe"] = needs.unprobed
    for batch in items.batches():
        for row in pending(batch, states, "").to_pylist():
            needs.items[STEPS[row["networks"]]] += 1
    if videos := len(found.pairs):
        needs.windows_per_video = sum(map(len, found.wanted)) / videos
    return needs


def _count_lacking(needs: _Needs, config: PreprocessJob, store: Store, table: Table, items: Items) -> int:
    """Count the pending windows that lack each step, and return how many windows there are in all."""
    prints, windows = stage_fingerprints(config), 0
    stages: dict[str, States] = {name: store.table(name).states() for name in prints}
    states = table.states()
    with progress("plan: windows", None) as advance:
        for batch in items.batches():
            known = batch.filter(compute.greater_equal(batch["window"], 0))
            windows += len(known)
            for part in _parts(pending(known, states, "")):
                lacks = lacking(part, prints, stages)
                lacks["decode"] = np.logical_or.reduce([lacks[name] for name in OF_PIXELS if name in lacks])
                needs.items.update({name: int(lacks[name].sum()) for name in preprocess.steps_of(config)})
                advance(len(part))
    return windows


def _parts(windows: pa.Table) -> list[pa.Table]:
    """Divide windows into parts that may become Python objects."""
    return [windows.slice(start, 20_000) for start in range(0, len(windows), 20_000)]


def _stage(name: str, needs: _Needs, sums: Sums) -> StagePlan:
    expected: float | None = needs.items[name]
    if needs.unprobed and name != "probe":
        mean = needs.windows_per_video
        expected = None if mean is None else expected + needs.unprobed * mean
    worked = sums.outcomes.total()
    return StagePlan(
        name=name,
        items=needs.items[name],
        expected=expected,
        seconds_each=sums.seconds / worked if worked else None,
        bytes_each=sums.bytes_out / worked if worked else None,
        cpus=needs.workers[name].cpus,
        gpus=needs.workers[name].gpus,
    )


def _total(parts: list[tuple[float | None, float | None, float]]) -> float | None:
    """Add up items times figure times factor; None where one that is needed is not known."""
    needed = [part for part in parts if part[0] != 0]
    if any(items is None or each is None for items, each, _ in needed):
        return None
    return sum((items or 0.0) * (each or 0.0) * factor for items, each, factor in needed)


def _cost(cpu_hours: float | None, gpu_hours: float | None, prices: CostConfig | None) -> float | None:
    if prices is None or cpu_hours is None or gpu_hours is None:
        return None
    return cpu_hours * prices.cpu_hour + gpu_hours * prices.gpu_hour
