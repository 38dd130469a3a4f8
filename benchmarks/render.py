"""What rendering must reach: its frames a second beside a bare loop of the same model calls, and a student's beside its
teacher's.

`python -m benchmarks.render` prints a table; `--quick` takes few and small videos, which reach no bar and show that it
runs. The loop has the windows' noise and conditions in memory, one process and one thread, as the model's actor has;
once as Python starts it, once keeping freed memory as the actor does. Rates of a job are between the beginning of its
first video at the model and the end of its last.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.figures import Figure, show
from benchmarks.throughput import moving_pictures
from equivdm.backbones import backbone_of
from equivdm.config import SamplerConfig, TinyConfig
from equivdm.video.write import write_video
from pipelines import render
from pipelines.allocator import keep_memory
from pipelines.batch import waves
from pipelines.config import RenderJob, TrainJob
from pipelines.models import ModelRecord, newest_model, register_model, save_weights
from pipelines.ray_session import ray_session
from pipelines.rendering import films
from pipelines.rendering.films import Films
from pipelines.rendering.painter import Painter
from pipelines.rendering.sampler import Sampler
from pipelines.rendering.windows import draw_noises, encode_text, find_motion, make_control, read_frames
from pipelines.schemas import from_tensor
from pipelines.store import Store, open_store
from pipelines.tables import Row
from pipelines.tally import Reporter

FRAMES = 16
"""Of a video, which is one window."""

TEACHER, STUDENT = SamplerConfig(steps=32), SamplerConfig(kind="renoise", steps=1)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=48)
    parser.add_argument("--side", type=int, default=64, help="height and width in pixels")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args(argv)
    videos, side = (4, 32) if arguments.quick else (arguments.videos, arguments.side)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="equivdm-") as folder:
        figures = measure(Path(folder), videos, side)
    show(figures)
    return 0 if arguments.quick or all(figure.met is not False for figure in figures) else 1


def measure(place: Path, videos: int, side: int) -> list[Figure]:
    """Return all figures."""
    write_videos(place / "videos", videos, side)
    write_videos(place / "warm", 2, side)
    store = open_store(job_of(place, "videos", TEACHER).store)
    add_model(store)
    figures: list[Figure] = []
    loop = partial(bare_rate, place, store)
    both = (TEACHER, STUDENT)
    with ray_session(job_of(place, "warm", TEACHER).ray):
        for sampler in both:
            render.run(job_of(place, "warm", sampler))
        plain = {sampler.steps: loop(sampler) for sampler in both}
        found = {sampler.steps: run_rates(job_of(place, "videos", sampler), videos) for sampler in both}
        keep_memory()  # this process is as the actor is from here on
        kept = {sampler.steps: loop(sampler) for sampler in both}
    what = f"{videos} videos of {side}x{side}x{FRAMES}"
    for steps, run in found.items():
        bar = 0.95 if steps == TEACHER.steps else None  # of one step most of the work is not the model's
        name, floor = f"{steps} steps, {what}", f"{plain[steps]:.1f}, keeping memory {kept[steps]:.1f} frames/s"
        figures += [
            Figure("a", f"frames/s of the bare loop's, {name}", run.rate / plain[steps], bar, least=True, floor=floor),
            Figure("a", "the same of a loop that keeps memory", run.rate / kept[steps]),
            Figure("a", "the whole run in an open session, of the bare loop's", run.whole / plain[steps]),
            Figure("b", f"share of the time that the model is at work, {steps} steps", run.busy, bar, least=True),
        ]
    gain, in_job = (of(STUDENT.steps) / of(TEACHER.steps) for of in (kept.__getitem__, lambda n: found[n].rate))
    return [
        *figures,
        Figure("c", "one step's frames/s over those of 32, the model's calls", gain, 20, least=True),
        Figure("c", "the same of render jobs", in_job),
    ]


class Rates(NamedTuple):
    """Frames a second of a job, and the share of the time that the model was at work."""

    rate: float
    whole: float
    busy: float


class TimedPainter(Painter):
    """The model's actor, which writes down when it was at work."""

    def __init__(self, store: Store, job: RenderJob, model: ModelRecord, reporter: Reporter) -> None:
        super().__init__(store, job, model, reporter)
        self._times = Path(store.root) / f"{job.name}.times"

    def __call__(self, row: Row) -> Row:
        """Paint a video."""
        started = time.time()
        painted = super().__call__(row)
        with self._times.open("a") as file:
            file.write(f"{started} {time.time()}\n")
        return painted


def job_of(place: Path, source: str, sampler: SamplerConfig) -> RenderJob:
    """Return a render job on two CPUs, one of them the model's."""
    return RenderJob.model_validate(
        {
            "name": f"{source}-{sampler.steps}",
            "source": {"root": str(place / source)},
            "store": {"root": str(place / "store")},
            "ray": {"cpus": 2},
            "sampler": sampler.model_dump(),
            "window": {"frames": FRAMES},
        }
    )


def bare_rate(place: Path, store: Store, sampler: SamplerConfig) -> float:
    """Return the frames a second of the model's calls alone, on the windows of two videos in turn."""
    job, model = job_of(place, "warm", sampler), newest_model(store, "equivdm")
    other = job.model_copy(update={"name": "bare"})
    work, actor = Films(other, store, model), Sampler(store, other, model)
    table, items = work.inputs()
    rows = [row for wave in waves(items, table, "bare") for row in work.with_windows(wave)]
    for function in (read_frames, find_motion, make_control, draw_noises, encode_text):
        rows = [function(row, job=other, model=model, store=store) for row in rows]

    def call(row: Row) -> None:
        latents = actor.sample(actor.shown(row), [from_tensor(each) for each in row["noises"]]).latents
        for _ in actor.decode([latents]):
            pass

    for row in rows:
        call(row)  # warms up
    calls = max(2, round(8.0 / seconds(lambda: call(rows[0]))))
    spent = seconds(lambda: [call(rows[number % len(rows)]) for number in range(calls)])
    return calls * FRAMES / spent


def run_rates(job: RenderJob, videos: int) -> Rates:
    """Run a job whose model writes down its times."""
    films.Painter = TimedPainter  # workers get the class by its name in this module
    started = time.time()
    summary = render.run(job)
    ended = time.time()
    assert summary.ok, summary.failures
    times = np.loadtxt(Path(job.store.root) / f"{job.name}.times", ndmin=2)
    between = times[:, 1].max() - times[:, 0].min()
    busy = float((times[:, 1] - times[:, 0]).sum() / between)
    return Rates(videos * FRAMES / between, videos * FRAMES / (ended - started), busy)


def add_model(store: Store) -> None:
    """Register a tiny model of random weights."""
    denoiser = backbone_of(TinyConfig()).build_denoiser(seed=0)
    weights = save_weights(store, "0" * 64, denoiser.state_dict(), denoiser)
    facts: dict[str, Any] = {"weights": weights, "steps": 0, "history": (), "run": "benchmark", "seconds": 0.0}
    register_model(store, TrainJob.model_validate({"store": {"root": store.url}}), "0" * 64, None, **facts)


def write_videos(folder: Path, count: int, side: int) -> None:
    """Write videos of one window each."""
    folder.mkdir()
    for seed in range(count):
        write_video(str(folder / f"{seed:05d}.mp4"), moving_pictures(seed, FRAMES, (side, side)), 25.0)


def seconds(function: Callable[[], object]) -> float:
    """Return what a call takes."""
    started = time.monotonic()
    function()
    return time.monotonic() - started


if __name__ == "__main__":
    sys.exit(main())
