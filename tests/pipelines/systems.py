"""Generated videos of made-up systems beside their driving videos, and evaluations of them, by hand or as a job."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from equivdm.arrays import Frames
from equivdm.render_config import OutputConfig
from equivdm.video.synthetic import render_scene
from equivdm.video.timing import Timing
from equivdm.video.write import VideoWriter
from pipelines.batch import commit, waves
from pipelines.config import EvaluateJob
from pipelines.evaluate import measure_in_turn
from pipelines.evaluation.items import Evaluation, evaluation_of
from pipelines.evaluation.listing import list_sources, probe_film, unknown_films
from pipelines.evaluation.measuring import measure_by_networks, measure_pixels
from pipelines.steps import NOBODY
from pipelines.store import Store, open_store
from pipelines.tables import Row

SIZE = (32, 48)
RUN = "by hand"


def scene(seed: int, frames: int = 6, size: tuple[int, int] = SIZE) -> Frames:
    """Frames that move."""
    return render_scene(seed, frames=frames, height=size[0], width=size[1]).frames


def write(path: Path, frames: Frames, fps: float = 12.0) -> None:
    """Write frames as they are: every pixel comes back."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(str(path), OutputConfig(codec="lossless"), frames.shape[1:3], Timing.at_rate(fps)) as writer:
        writer.write(frames)


def write_driving(folder: Path, names: Sequence[str] = ("a", "b", "c"), **shape: Any) -> dict[str, Frames]:
    """Write driving videos, each with a caption, and return their frames."""
    found = {name: scene(seed, **shape) for seed, name in enumerate(names)}
    for name, frames in found.items():
        write(folder / f"{name}.mkv", frames)
        (folder / f"{name}.txt").write_text(f"what {name} shows")
    return found


def noisy(frames: Frames, levels: float, seed: int = 0) -> Frames:
    """Add noise that does not move with the video."""
    noise = np.random.default_rng(seed).normal(0, levels, frames.shape)
    return np.clip(frames + noise, 0, 255).astype(np.uint8)


def write_system(folder: Path, driving: Mapping[str, Frames], make: Callable[[Frames], Frames]) -> None:
    """Write what a system makes of each driving video."""
    for name, frames in driving.items():
        write(folder / f"{name}.mkv", make(frames))


def evaluate_job(root: Path, *systems: str | Mapping[str, Any], **changes: Any) -> EvaluateJob:
    """Return an evaluation of systems, named by their folders below `root`."""
    given = [{"name": each} if isinstance(each, str) else dict(each) for each in systems]
    values = {
        "store": {"root": str(root / "store"), "commit_every_s": 0.1},
        "ray": {"cpus": 2, "object_store_mib": 128},
        "systems": [{"root": str(root / each["name"]), **each} for each in given],
        "driving": {"root": str(root / "driving")},
        "bootstrap": 200,
    }
    return EvaluateJob.model_validate(values | changes)


def evaluated(job: EvaluateJob) -> tuple[Evaluation, list[Row]]:
    """Probe and measure what is pending, and return the evaluation and the rows that were added."""
    found, rows = prepared(job)
    return found, commit([each for row in rows for each in settled(row, job, found.store)], found.table)


def prepared(job: EvaluateJob) -> tuple[Evaluation, list[Row]]:
    """Probe, and return the evaluation and what is pending, a row a video."""
    store = open_store(job.store)
    listing = list_sources(job)
    probes = store.table("probes")
    commit([probe_film(video, job, probes) for video in unknown_films(store, listing, RUN).to_pylist()], probes)
    found = evaluation_of(job, store, listing)
    return found, [row for wave in waves(found.items(), found.table, RUN) for row in found.prepare(wave)]


def settled(row: Row, job: EvaluateJob, store: Store) -> Sequence[Row]:
    """Take a row through its steps."""
    given = {"job": job, "store": store}
    return list(measure_in_turn(row, [measure_pixels, measure_by_networks], store.table("metrics"), NOBODY, **given))
