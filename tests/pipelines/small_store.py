"""A small finished store, made through the tables' own interface: models, their videos of a few clips, metrics."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from equivdm.config import NoiseConfig
from equivdm.noise import plan_motion
from equivdm.video.synthetic import Scene, render_scene
from equivdm.video.write import write_video
from pipelines.config import DistillJob, EvaluateJob, RenderJob, TrainJob
from pipelines.evaluation.items import evaluation_of
from pipelines.identity import item_key
from pipelines.schemas import to_tensor
from pipelines.settings import StoreConfig
from pipelines.store import Store, open_store
from pipelines.validated import ValidatedClip, ValidationRecord, step_folder, write_validation
from tests.pipelines.clip_rows import put_clips

NAMES = ("independent", "equivdm", "student")
METRICS = ("cf_psnr", "cf_psnr_first", "epe", "flicker", "sharpness", "contrast")
START = datetime(2026, 1, 1, tzinfo=UTC)


def fill(root: Path, clips: int = 2, frames: int = 8) -> EvaluateJob:
    """Fill a store below `root` and return the job that reports on it. Some figures favour one set, some another."""
    store = open_store(StoreConfig(root=str(root / "store")))
    scenes = {f"holdout_{number:02d}.mp4": _scene(root, number, frames) for number in range(clips)}
    keys = {path: item_key(path) for path in scenes}
    put_clips(store, [_clip(root, path, keys[path], scene) for path, scene in scenes.items()])
    store.table("models").append([_model(store, name, number) for number, name in enumerate(NAMES)])
    rows = [_video(store, name, path, keys[path], scene) for name in NAMES for path, scene in scenes.items()]
    store.table("videos").append(rows)
    job = EvaluateJob(store=StoreConfig(root=str(root / "store")), renders=NAMES, metrics=METRICS, bootstrap=200)
    found = evaluation_of(job, store)
    done = {"outcome": "done", "attempt": 1, "seconds": 0.25, "created": START}
    for number, (pair, wanted) in enumerate(zip(found.pairs, found.wanted, strict=True)):
        values = _values(pair.name, np.random.default_rng(number))
        common = {"name": pair.name, "video": pair.video, "clip": pair.clip, "path": pair.path, **done}
        rows = [{"key": one.key, "metric": one.name, "value": values[one.name]} for one in wanted]
        found.table.append([common | row for row in rows])
    return job


def _scene(root: Path, number: int, frames: int) -> Scene:
    scene = render_scene(100 + number, frames=frames, height=64, width=64)
    (root / "videos").mkdir(exist_ok=True)
    write_video(str(root / "videos" / f"holdout_{number:02d}.mp4"), scene.frames, 12.0)
    return scene


def _clip(root: Path, path: str, key: str, scene: Scene) -> dict[str, Any]:
    plan = plan_motion(scene.forward, scene.backward, grid=(32, 32))
    return {
        "key": key,
        "fingerprint": "f" * 64,
        "video": hashlib.sha256((root / "videos" / path).read_bytes()).hexdigest(),
        "source": str(root / "videos" / path),
        "path": path,
        "window": 0,
        "indices": list(range(len(scene.frames))),
        "fps": 12.0,
        "caption": scene.caption,
        "outcome": "done",
        "attempt": 1,
        "seconds": 1.5,
        "created": START,
        "frames": len(scene.frames),
        "height": 64,
        "width": 64,
        "control": to_tensor(scene.frames[..., 0]),
        "plan": plan.to_bytes(),
    }


def _model(store: Store, name: str, number: int) -> dict[str, Any]:
    common = {"store": {"root": store.root}, "data": {"exclude": ("holdout_*",)}}
    noise = NoiseConfig(kind="independent" if name == "independent" else "warped")
    job = DistillJob(**common) if name == "student" else TrainJob(name=name, noise=noise, **common)
    steps = range(10, 201, 10)
    history = [{"step": step, "metric": "loss", "value": 0.15 + 1 / (step + number)} for step in steps]
    if name == "student":
        history += [{"step": step, "metric": "fake_loss", "value": 0.3 + 2 / step} for step in steps]
    return {
        "key": item_key(name),
        "name": name,
        "kind": job.job,
        "folder": f"models/{name}",
        "weights": item_key(name, "weights"),
        "config": job.model_dump_json(),
        "parent": item_key("equivdm") if name == "student" else None,
        "steps": 200,
        "history": history,
        "seconds": 60.0 + number,
        "created": START + timedelta(minutes=number),
    }


def _video(store: Store, name: str, path: str, clip: str, scene: Scene) -> dict[str, Any]:
    rng = np.random.default_rng(NAMES.index(name))
    spoilt = scene.frames + rng.normal(0, 30 if name == "independent" else 8, scene.frames.shape)
    local = Path(store.root) / "scratch.mp4"
    write_video(str(local), np.clip(spoilt, 0, 255).astype(np.uint8), 12.0)
    key, digest = item_key(name, path), hashlib.sha256(local.read_bytes()).hexdigest()
    store.put(str(local), f"renders/{name}/{key}.mp4")
    local.unlink()
    return {
        "key": key,
        "name": name,
        "clip": clip,
        "path": path,
        "model": item_key(name),
        "config": json.dumps(RenderJob(store=StoreConfig(root=store.root), name=name).model_dump(mode="json")),
        "outcome": "done",
        "attempt": 1,
        "seconds": 0.5,
        "created": START,
        "file": f"renders/{name}/{key}.mp4",
        "sha256": digest,
        "fps": 12.0,
        "frames": len(scene.frames),
        "height": 64,
        "width": 64,
        "steps": 1 if name == "student" else 8,
    }


def _values(name: str, rng: np.random.Generator) -> dict[str, float]:
    good = {"independent": 0.0, "equivdm": 1.0, "student": 0.8}[name]
    return {
        "epe": 2.0 - good + rng.normal(0, 0.1),
        "cf_psnr": 20 + 8 * good + rng.normal(0, 1),
        "cf_psnr_first": 18 + 6 * good + rng.normal(0, 1),
        "flicker": 6 - 4 * good + rng.normal(0, 0.3),
        "sharpness": 11 - 2 * good + rng.normal(0, 0.5),
        "contrast": 48 + rng.normal(0, 2),
    }


def falling(step: int) -> dict[str, float]:
    """Figures of a validation after so many steps."""
    return {"loss": 1 / step, "epe": 2 / step, "cf_psnr": 20.0 + step}


def validated(store: Store, key: str, clips: list[str], steps: Sequence[int]) -> list[ValidationRecord]:
    """Write validations as a training does; a video says of which step and clip it is."""
    records = []
    for step in steps:
        made = [ValidatedClip(key=clip, file=f"{clip[:8]}.mp4", figures=falling(step)) for clip in clips]
        for clip in made:
            store.filesystem.makedirs(store.path(step_folder(key, step)), exist_ok=True)
            store.filesystem.pipe_file(store.path(step_folder(key, step), clip.file), f"{step} {clip.key}".encode())
        records.append(ValidationRecord(step=step, clips=tuple(made)))
        write_validation(store, key, records[-1])
    return records
