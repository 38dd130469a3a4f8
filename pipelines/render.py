"""Clips and a model to videos: noise from the clip's motion plan, the ODE, `decode`, mp4, one row per video."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np
import ray.data

from equivdm.backbones import backbone_of
from equivdm.config import NoiseConfig, SamplerConfig
from equivdm.seeds import derive_seed
from equivdm.video.write import write_video
from pipelines.batch import Items, RunSummary, Work, as_items, run_items
from pipelines.clips import locate, read_parts, select_clips
from pipelines.config import RenderJob
from pipelines.draw import draw_noise
from pipelines.identity import fingerprint, item_key
from pipelines.models import ModelRecord, load_denoiser, newest_model
from pipelines.record import Draft, recording
from pipelines.shown import COLUMNS, Shown, check_colour, columns_of, conditions_of, shown
from pipelines.stages import check_clips
from pipelines.steps import NOBODY, actor_pool, settle, step
from pipelines.store import Store, open_store
from pipelines.students import check_sampler_of
from pipelines.tables import Row, Table
from pipelines.tally import Reporter

_DRAWN = ("latents", "plan")

VERSION = 1
"""Raised when the same clip, model and config would give other videos."""


def run(config: RenderJob) -> RunSummary:
    """Render the selected clips. The same call again renders only what is missing."""
    store = open_store(config.store)
    check(config, store)
    videos, items = inputs(config, store)

    def pipeline(items: ray.data.Dataset, reporter: Reporter) -> ray.data.Dataset:
        given = (store, config, videos, reporter)
        return items.map(cast(Any, RenderClip), fn_constructor_args=given, **actor_pool(config.work.model))

    with recording(store, Draft("render", config)) as draft:
        work = Work(videos, pipeline, {"render": config.work.model})
        summary = run_items(draft, f"render {config.name}", items, work)
    return replace(summary, record=draft.page)


def check(config: RenderJob, store: Store) -> None:
    """Raise UsageError where the sampler does not go with the model."""
    from equivdm.sampling import check_sampler

    model = newest_model(store, config.model)
    sampler = settings(config, model)[1]
    check_sampler_of(model, sampler)
    check_sampler(sampler, backbone_of(model.backbone).diffusion(model.objective))


def inputs(config: RenderJob, store: Store) -> tuple[Table, Items]:
    """Return the table and the items of a job."""
    model = newest_model(store, config.model)
    own = render_fingerprint(config, model)
    clips = select_clips(store, config.data)
    check_clips(clips, model.backbone)
    check_colour(store, clips, model.backbone)
    return store.table("videos"), as_items(
        [
            {
                "key": item_key(clip["key"], own),
                "clip": clip["key"],
                "path": clip["path"],
                "fps": clip["fps"],
                "files": files,
                "name": config.name,
                "model": model.key,
                "config": config.model_dump_json(),
                "max_attempts": config.work.max_attempts,
            }
            for clip, files in zip(clips, locate(store, clips, (*_DRAWN, *COLUMNS)), strict=True)
        ]
    )


def settings(config: RenderJob, model: ModelRecord) -> tuple[NoiseConfig, SamplerConfig]:
    """Return the noise and the sampler: the job's own where given, else the model's."""
    return config.noise or model.noise, config.sampler or model.sampler


def renoising(config: RenderJob, model: ModelRecord) -> NoiseConfig:
    """Return the noise that the sampler `renoise` takes between its steps, likewise."""
    return config.noise or model.renoise or model.noise


def render_fingerprint(config: RenderJob, model: ModelRecord) -> str:
    """Return the hash of all that can change a video, but the clip. The set's name is part of it: sets stay apart."""
    noise, sampler = settings(config, model)
    again = {"renoise": renoising(config, model).model_dump()} if sampler.kind == "renoise" else {}
    return fingerprint(
        {
            "stage": "render",
            "version": VERSION,
            "name": config.name,
            "weights": model.weights,
            "noise": noise.model_dump(),
            "sampler": sampler_identity(sampler),
            **again,
            "use_control": config.use_control,
            "seed": config.seed,
        }
    )


def sampler_identity(sampler: SamplerConfig) -> dict[str, object]:
    """Return what decides a solver's path. What is 1 stays out, as before it could be set, so that videos keep keys."""
    identity = sampler.model_dump()
    return {name: value for name, value in identity.items() if name not in ("shift", "guidance") or value != 1}


class RenderClip:
    """A model on an actor, on a GPU where the actor has one."""

    def __init__(self, store: Store, config: RenderJob, videos: Table, reporter: Reporter = NOBODY) -> None:
        import torch

        from pipelines.engines import frozen

        self.store, self.config, self.videos, self.reporter = store, config, videos, reporter
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        denoiser, self.codec, self.model = load_denoiser(store, config.model, self.device)
        self.denoiser = frozen(denoiser, self.device)  # in the precision of training and its validation
        self.diffusion = backbone_of(self.model.backbone).diffusion(self.model.objective)

    def __call__(self, row: Row) -> Row:
        """Render one clip, write its file, and settle the item, whatever its outcome."""
        settled = settle(step("render")(self._render)(row, reporter=self.reporter), self.videos)
        self.reporter.flush()
        return settled

    def _render(self, row: Row) -> Row:
        noise_config, sampler = settings(self.config, self.model)
        clip = read_parts(self.store, row["files"], (*_DRAWN, *columns_of(row["files"])))
        seed = derive_seed(self.config.seed, "render", row["clip"])
        shape = tuple(clip["latents"]["shape"])
        noise = draw_noise(clip["plan"], shape, noise_config, seed)
        again = renoising(self.config, self.model)
        frames = self._sample(
            noise,
            shown(clip, row["fps"]),
            sampler,
            lambda k: draw_noise(clip["plan"], shape, again, derive_seed(seed, "draw", k)),
        )
        file = f"renders/{row['name']}/{row['key']}.mp4"
        return {"file": file, "steps": sampler.steps, **self._put(frames, row["fps"], file)}

    def _sample(
        self, noise: np.ndarray, clip: Shown, sampler: SamplerConfig, draw: Callable[[int], np.ndarray]
    ) -> np.ndarray:
        import torch

        from equivdm.sampling import sample
        from equivdm.video.tensors import to_frames

        use_control = [self.config.use_control]
        conditions, empty = (
            conditions_of([clip], [use_text], use_control).to(self.device) for use_text in (True, False)
        )

        def drawn(k: int) -> torch.Tensor:
            return torch.tensor(draw(k))[None].to(self.device)

        with torch.inference_mode():
            start = torch.tensor(noise)[None].to(self.device)
            latents = sample(self.denoiser, start, conditions, sampler, self.diffusion, empty, drawn)
            return to_frames(self.codec.decode(latents)[0])

    def _put(self, frames: np.ndarray, fps: float, file: str) -> Row:
        import hashlib
        import os

        with tempfile.TemporaryDirectory(prefix="equivdm-") as folder:
            local = os.path.join(folder, "video.mp4")
            write_video(local, frames, fps)
            with open(local, "rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            self.store.put(local, file)
            size = os.path.getsize(local)
        time_, height, width = frames.shape[:3]
        return {"sha256": digest, "bytes": size, "frames": time_, "height": height, "width": width}
