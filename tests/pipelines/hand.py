"""Preprocess by hand: its steps called one after another in this process, what Ray only spreads."""

from collections.abc import Callable, Sequence

from pipelines import preprocess
from pipelines.batch import commit, waves
from pipelines.config import PreprocessJob
from pipelines.manifest import probe_video, unknown_videos
from pipelines.sources import list_videos
from pipelines.stage_steps import (
    decode_window,
    draw_noise,
    encode_blank,
    encode_control,
    encode_text,
    estimate_window_motion,
    make_control,
    make_plan,
)
from pipelines.steps import NOBODY
from pipelines.store import open_store
from pipelines.tables import Row, Table

STEPS: Sequence[Callable[..., Row]] = (
    decode_window,
    estimate_window_motion,
    make_plan,
    draw_noise,
    make_control,
    encode_text,
    encode_control,
    encode_blank,
)


def probe(job: PreprocessJob) -> None:
    """Bring the manifest up to date."""
    store = open_store(job.store)
    manifest = store.table("manifest")
    for video in unknown_videos(store, job, list_videos(job.source), "now").to_pylist():
        manifest.append(probe_video(video, job, manifest)["rows"])


def items_of(job: PreprocessJob) -> list[Row]:
    """The pending items of all windows, ready for the first step."""
    probe(job)
    store = open_store(job.store)
    clips, items = preprocess.inputs(job, store)
    return [row for wave in waves(items, clips, "now") for row in preprocess.prepare_wave(wave, job, store)]


def committed(table: Table, settled: list[Row]) -> list[Row]:
    """Commit what is settled and return the table's rows of these keys."""
    commit(settled, table)
    return table.rows(keys={row["key"] for item in settled for row in item["rows"]})


def clips_of(job: PreprocessJob) -> list[Row]:
    """Preprocess, and return the rows of what was pending."""
    store = open_store(job.store)
    rows = items_of(job)
    for step in STEPS:
        rows = [step(row, job, store) for row in rows]
    settled = [preprocess.finish_clip(row, job, store, NOBODY) for row in rows]
    return committed(store.table("clips"), settled)
