"""Driving videos for tests of rendering, and jobs on them."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from equivdm.render_config import OutputConfig
from equivdm.video.decode import decode
from equivdm.video.synthetic import render_scene
from equivdm.video.timing import Timing
from equivdm.video.write import VideoWriter
from pipelines.config import RenderJob
from pipelines.store import Store, open_store
from pipelines.tables import Row
from tests.pipelines.random_models import add_model
from tests.pipelines.videos import write_scene

LENGTHS = {"short": 7, "long": 21, "one": 1}
"""Frames of the driving videos, whose windows are of 8 with 2 shared."""


def film_job(videos: str | Path, root: str | Path, **changes: Any) -> RenderJob:
    """A render job on driving videos at test size."""
    values = {
        "source": {"root": str(videos)},
        "store": {"root": str(root), "commit_every_s": 0.1},
        "ray": {"cpus": 2, "object_store_mib": 128},
        "sampler": {"steps": 2},
        "window": {"frames": 8, "overlap": 2},
        "frame": {"height": 32, "width": 48},
    }
    return RenderJob.model_validate(values | changes)


def write_films(folder: Path, lengths: Mapping[str, int] = LENGTHS) -> None:
    """Write scenes of these lengths, each with its caption, and a file that is no video."""
    for seed, (name, frames) in enumerate(lengths.items()):
        write_scene(folder / f"{name}.mp4", seed, frames)
    (folder / "broken.mp4").write_bytes(b"no video")


def with_model(job: RenderJob, **changes: Any) -> RenderJob:
    """Give the job's store a model of random weights."""
    add_model(open_store(job.store), job.model, seed=0, **changes)
    return job


def pixels(store: Store, row: Row) -> np.ndarray:
    """Decode the file of a row."""
    with store.local_copy(row["file"]) as local:
        return decode(local, range(row["frames"]), None)


def write_uneven(path: Path, frames: int = 20, seed: int = 3) -> np.ndarray:
    """Write a scene whose frames are 40 or 80 ms long, with a tone; returns their time stamps in seconds."""
    scene = render_scene(seed, frames=frames, height=48, width=64).frames
    ticks = np.cumsum([0, *(40 + 40 * (number % 3 == 0) for number in range(frames - 1))])
    timing = Timing(Fraction(25), Fraction(1, 1000), ticks, last=40)
    silent = path.with_suffix(".silent.mp4")
    with VideoWriter(str(silent), OutputConfig(crf=8), scene.shape[1:3], timing) as writer:
        writer.write(scene)
    _add_tone(silent, path, float(ticks[-1] + 40) / 1000)
    silent.unlink()
    return ticks / 1000


def _add_tone(silent: Path, path: Path, seconds: float) -> None:
    rate = 16_000
    wave = np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate).astype(np.float32)
    with av.open(str(silent)) as source, av.open(str(path), "w") as target:
        picture, sound = source.streams.video[0], target.add_stream("aac", rate=rate, layout="mono")
        copied = target.add_stream_from_template(picture)
        frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        target.mux(sound.encode(frame))
        target.mux(sound.encode(None))
        for packet in source.demux(picture):
            if packet.dts is not None:
                packet.stream = copied
                target.mux(packet)
