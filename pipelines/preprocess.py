"""Videos to clips: decode, motion, motion plan, latents, one row per window in the `clips` table."""

from contextlib import nullcontext
from functools import partial
from typing import Any, cast

import numpy as np
import pyarrow as pa
import ray.data

from equivdm.backbones import build_codec, codec_identity, geometry_of
from equivdm.config import BackboneConfig
from equivdm.control import control_identity, control_map
from equivdm.errors import DamagedVideo, UsageError
from equivdm.flow import estimate_motion, flow_identity
from equivdm.noise import MotionPlan, plan_motion
from equivdm.seeds import derive_seed
from equivdm.text import tokenize
from pipelines.batch import Row, Run, RunSummary, actor_pool, run_items, settle, step, task_retries
from pipelines.config import PreprocessJob
from pipelines.identity import fingerprint, item_key
from pipelines.manifest import known_windows, sandbox, unknown_videos, update_manifest
from pipelines.ray_session import ray_session
from pipelines.schemas import to_tensor
from pipelines.sources import list_videos, source_file
from pipelines.store import Store, open_store
from pipelines.tables import Table

VERSION = 5
"""Raised when the same video and config would give other clips."""


def run(config: PreprocessJob) -> RunSummary:
    """Bring the `clips` table up to date with the source. The same call again does only what is missing."""
    this = Run("preprocess", "preprocess")
    check_size(config)
    store, videos = open_store(config.store), list_videos(config.source)
    fresh = unknown_videos(store, config, videos)
    with ray_session(config.ray) if len(fresh) else nullcontext():
        update_manifest(store, config, fresh, this.name)
        clips, items = inputs(config, store, videos)
        return run_items(this, config, items, clips, partial(clip_pipeline, config=config, clips=clips))


def clip_pipeline(items: ray.data.Dataset, config: PreprocessJob, clips: Table) -> ray.data.Dataset:
    """Windows to receipts: decode, motion, then latents and the row of the table."""
    work = config.work
    return (
        items.map(read_clip, fn_args=(config,), num_cpus=work.cpus_per_task, ray_remote_args_fn=task_retries)
        .map(estimate_clip_motion, fn_args=(config,), num_cpus=work.cpus_per_task, ray_remote_args_fn=task_retries)
        .map(cast(Any, EncodeClip), fn_constructor_args=(config.backbone, clips), **actor_pool(work))
    )


def inputs(config: PreprocessJob, store: Store, videos: pa.Table | None = None) -> tuple[Table, list[Row]]:
    """Return the table and the items of a job as the manifest knows them; `videos` spares listing the source again."""
    windows = known_windows(store, config, list_videos(config.source) if videos is None else videos)
    return store.table("clips"), clip_items(config, windows)


def check_size(config: PreprocessJob) -> None:
    """Raise UsageError for a clip that the backbone cannot encode: before the first video, not after the last."""
    geometry = geometry_of(config.backbone)
    try:
        geometry.grid(config.clip.height, config.clip.width)
        geometry.frame_indices(config.clip.frames)
    except ValueError as error:
        raise UsageError(f"clip: {error}") from error


def clip_fingerprint(config: PreprocessJob) -> str:
    """Return the hash of all parts of the config that can change a clip."""
    grid = config.clip.model_dump(include={"height", "width"})
    return fingerprint(
        {
            "stage": "preprocess",
            "version": VERSION,
            "clip": grid,
            "flow": {**flow_identity(config.flow), "occlusion": config.flow.occlusion.model_dump()},
            "plan": config.plan.model_dump(),
            "control": control_identity(config.control),
            "codec": codec_identity(config.backbone),
            "noise": config.materialize_noise,
        }
    )


def clip_items(config: PreprocessJob, windows: list[Row]) -> list[Row]:
    """Return a work item per window, keyed by content, frames, caption and fingerprint."""
    own = clip_fingerprint(config)
    # Whether a video is too short for a window depends on the window's length, not on where windows start.
    without_window = config.clip.model_dump(include={"frames", "fps"})
    limits = {"max_attempts": config.work.max_attempts, "wanted_frames": config.clip.frames}
    return [
        {
            **{name: window[name] for name in ("video", "source", "path", "window", "indices", "fps")},
            **{name: window[name] for name in ("source_frames", "caption")},
            **limits,
            "fingerprint": own,
            "key": item_key(window["video"], window["indices"] or without_window, window["caption"], own),
        }
        for window in windows
    ]


@step
def read_clip(row: Row, config: PreprocessJob) -> Row:
    """Decode the window out of process, at the clip's size. A video too short for a window is filtered here."""
    if row["source_frames"] >= 0 and not row["indices"]:
        return {
            "outcome": "filtered",
            "rule": f"too_short: {row['source_frames']} frames, wanted {row['wanted_frames']}",
        }
    with source_file(config.source, row["source"]) as local:
        if row["source_frames"] < 0:
            sandbox(config.decode).probe(local)  # raises again what kept the manifest from seeing its windows
            raise DamagedVideo("the video could not be probed once, and can be now: run the job again")
        size = (config.clip.height, config.clip.width)
        frames = sandbox(config.decode).decode(local, row["indices"], size)
    return {"pixels": to_tensor(frames)}


@step
def estimate_clip_motion(row: Row, config: PreprocessJob) -> Row:
    """Flow both ways, occlusion, motion plan and dense condition of the decoded frames."""
    frames = _pixels(row)
    motion = estimate_motion(frames, config.flow)
    geometry = geometry_of(config.backbone)
    height, width = frames.shape[1:3]
    plan = plan_motion(
        motion.forward,
        motion.backward,
        grid=geometry.grid(height, width),
        per_cell=config.plan.per_cell,
        frames=geometry.frame_indices(len(frames)),
        unknown="fresh",  # an estimator may be wild where nothing is to be seen; that must not cost the clip
    )
    columns = {
        "forward": to_tensor(motion.forward.astype(np.float16)),
        "backward": to_tensor(motion.backward.astype(np.float16)),
        "occluded_forward": to_tensor(motion.occluded_forward),
        "occluded_backward": to_tensor(motion.occluded_backward),
        "control": to_tensor(control_map(frames, config.control)),
        "plan": plan.to_bytes(),
        "tokens": tokenize(row["caption"]),
        "frames": len(frames),
        "height": height,
        "width": width,
    }
    if config.materialize_noise:
        columns["noise"] = to_tensor(_materialized(plan, row["key"], geometry.channels))
    return columns


class EncodeClip:
    """The backbone's `encode`, on a GPU where the actor has one, and the item's row in the table."""

    def __init__(self, backbone: BackboneConfig, clips: Table) -> None:
        import torch

        self.clips = clips
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.codec = build_codec(backbone)

    def __call__(self, row: Row) -> Row:
        """Add the clip's latents, write the row, whatever its outcome, and hand on the receipt."""
        return settle(step(self._encode)(row), self.clips)

    def _encode(self, row: Row) -> Row:
        import torch

        from equivdm.video.tensors import to_model_range

        with torch.inference_mode():
            video = to_model_range(_pixels(row)).to(self.device)
            latents = self.codec.encode(video[None])[0]
        return {"latents": to_tensor(latents.half().cpu().numpy())}


def _pixels(row: Row) -> np.ndarray:
    stored: dict[str, Any] = row["pixels"]
    return np.frombuffer(stored["data"], np.uint8).reshape(stored["shape"])


def _materialized(plan: MotionPlan, key: str, channels: int) -> np.ndarray:
    return plan.noise(derive_seed(0, "materialized", key), channels).astype(np.float16)
