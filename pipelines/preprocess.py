"""Videos to clips: decode, motion, motion plan, captions, latents; a row a window in `clips`, tensors by stage."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import pyarrow as pa
import ray.data

from equivdm.backbones import backbone_of
from equivdm.errors import UsageError
from pipelines.batch import Items, RunSummary, Work, run_items
from pipelines.config import PreprocessJob
from pipelines.identity import fingerprint
from pipelines.manifest import unknown_videos, update_manifest, window_items
from pipelines.ray_session import ray_session
from pipelines.record import Draft, recording
from pipelines.room import check_room
from pipelines.settings import Resources
from pipelines.sources import list_videos
from pipelines.stage_steps import (
    decode_window,
    draw_noise,
    encode_blank,
    encode_control,
    encode_latents,
    encode_text,
    estimate_window_motion,
    make_control,
    make_plan,
)
from pipelines.stages import STAGES, stage_fingerprints, with_stages
from pipelines.steps import settle, spread_in_turn
from pipelines.store import Store, open_store
from pipelines.tables import Row, Table
from pipelines.tally import Reporter, start_tally


def run(config: PreprocessJob) -> RunSummary:
    """Bring the `clips` table up to date with the source. The same call again does only what is missing."""
    check_size(config)
    store, videos = open_store(config.store), list_videos(config.source)
    with recording(store, Draft("preprocess", config)) as draft, ExitStack() as session:
        fresh, reporter = unknown_videos(store, config, videos, draft.run), None
        if len(fresh):
            with draft.start_up():
                session.enter_context(ray_session(config.ray))
                reporter = start_tally(draft.job)
            for steps in ({"probe": config.work.probe}, steps_of(config)):  # now, not when all videos are probed
                check_room(steps, config.ray)
            update_manifest(draft, store, config, fresh, reporter)
        clips, items = inputs(config, store, videos)
        prepare = partial(prepare_wave, config=config, store=store)
        work = Work(clips, partial(clip_pipeline, config=config, store=store), steps_of(config), prepare)
        summary = run_items(draft, "preprocess", items, work, reporter)
    return replace(summary, record=draft.page)


def steps_of(config: PreprocessJob) -> dict[str, Resources]:
    """Return what each step takes, by its name."""
    return {name: resources for name, _, resources in _steps(config)}


def clip_pipeline(items: ray.data.Dataset, reporter: Reporter, config: PreprocessJob, store: Store) -> ray.data.Dataset:
    """Windows to settled items. A step whose stages are all there passes the item on."""
    steps = [(function, resources) for _, function, resources in _steps(config)]
    return spread_in_turn(items, steps, job=config, store=store, reporter=reporter)


def _steps(config: PreprocessJob) -> list[tuple[str, Callable[..., Row], Resources]]:
    """Name, function and resources of each step; but for `decode` each is of the stage of its name."""
    work = config.work
    steps: list[tuple[str, Callable[..., Row], Resources]] = [
        ("decode", decode_window, work.decode),
        ("motion", estimate_window_motion, work.motion),
        ("plans", make_plan, work.plans),
        ("noises", draw_noise, work.plans),
        ("controls", make_control, work.controls),
        ("texts", encode_text, work.texts),
        ("hints", encode_control, work.latents),
        ("blanks", encode_blank, work.latents),
        ("latents", finish_clip, work.latents),
    ]
    return [each for each in steps if each[0] == "decode" or STAGES[each[0]].wanted(config)]


def finish_clip(row: Row, job: PreprocessJob, store: Store, reporter: Reporter) -> Row:
    """Encode, and settle the item: a step of its own would wait for CPUs that the steps before it hold."""
    row = encode_latents(row, job=job, store=store, reporter=reporter)
    keys = {} if row.get("outcome") else row["keys"]
    settled = settle({**row, **keys}, store.table("clips"))
    reporter.flush()
    return settled


def inputs(config: PreprocessJob, store: Store, videos: pa.Table | None = None) -> tuple[Table, Items]:
    """Return the table and the items of a job as the manifest knows them; `videos` spares listing the source again."""
    listed = list_videos(config.source) if videos is None else videos
    return store.table("clips"), window_items(store, config, listed, clip_fingerprint(config))


def prepare_wave(windows: Sequence[Row], config: PreprocessJob, store: Store) -> list[Row]:
    """Add to pending windows what their stages have already, and what a clip's row says of its settings."""
    common = {"fingerprint": clip_fingerprint(config), "max_attempts": config.work.max_attempts}
    return [{**window, **common} for window in with_stages(store, windows, stage_fingerprints(config))]


def check_size(config: PreprocessJob) -> None:
    """Raise UsageError for a clip that the backbone cannot encode: before the first video, not after the last."""
    geometry = backbone_of(config.backbone).geometry
    for bucket in config.clip.choices:
        try:
            geometry.grid(bucket.height, bucket.width)
            geometry.frame_indices(bucket.frames)
        except ValueError as error:
            raise UsageError(f"clip: {error}") from error


def clip_fingerprint(config: PreprocessJob) -> str:
    """Return the hash of all parts of the config that can change a clip: its sizes, its stages' settings, the filters.

    Clips of one fingerprint belong together: a job that reads clips takes those of one.
    """
    sizes = [bucket.model_dump() for bucket in config.clip.choices]
    return fingerprint({"sizes": sizes, "stages": stage_fingerprints(config), "filters": config.filters.model_dump()})
