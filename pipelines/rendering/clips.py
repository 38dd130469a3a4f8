"""Clips of the store to videos: their motion plans and conditions are there, so that a clip is one step."""

from dataclasses import dataclass, replace
from typing import Any, cast

import ray.data

from equivdm.render_config import OutputConfig
from equivdm.seeds import derive_seed
from equivdm.video.timing import Timing
from pipelines.allocator import keep_memory
from pipelines.batch import Items, RunSummary, Work, as_items, run_items
from pipelines.clips import locate, read_parts, select_clips
from pipelines.config import RenderJob
from pipelines.draw import draw_noise
from pipelines.identity import fingerprint, item_key
from pipelines.models import ModelRecord
from pipelines.record import Draft, recording
from pipelines.rendering.files import writing
from pipelines.rendering.identity import (
    check_solver,
    lineage_of,
    noises_of,
    output_identity,
    sampler_identity,
    settings_of,
)
from pipelines.rendering.sampler import Sampler
from pipelines.shown import COLUMNS, check_colour, columns_of, shown
from pipelines.stages import check_clips
from pipelines.steps import NOBODY, actor_pool, settle, step
from pipelines.store import Store
from pipelines.tables import Row, Table
from pipelines.tally import Reporter

_DRAWN = ("latents", "plan")

VERSION = 1
"""Raised when the same clip, model and config would give other videos."""


@dataclass(frozen=True)
class Clips:
    """A job on clips, with its store and model."""

    job: RenderJob
    store: Store
    model: ModelRecord

    def run(self) -> RunSummary:
        """Bring the `videos` table up to date with the clips."""
        check_solver(self.job, self.model)
        videos, items = self.inputs()

        def pipeline(items: ray.data.Dataset, reporter: Reporter) -> ray.data.Dataset:
            given = (self.store, self.job, self.model, videos, reporter)
            return items.map(cast(Any, RenderClip), fn_constructor_args=given, **actor_pool(self.job.work.model))

        with recording(self.store, Draft("render", self.job)) as draft:
            work = Work(videos, pipeline, {"render": self.job.work.model})
            summary = run_items(draft, f"render {self.job.name}", items, work)
        return replace(summary, record=draft.page)

    def inputs(self) -> tuple[Table, Items]:
        """Return the table and the items of the job, a clip each."""
        own, lineage = clip_fingerprint(self.job, self.model), lineage_of(self.job, self.model)
        clips = select_clips(self.store, self.job.data)
        check_clips(clips, self.model.backbone)
        check_colour(self.store, clips, self.model.backbone)
        return self.store.table("videos"), as_items(
            [
                {
                    "key": item_key(clip["key"], own),
                    "clip": clip["key"],
                    "path": clip["path"],
                    "fps": clip["fps"],
                    "files": files,
                    **lineage,
                }
                for clip, files in zip(clips, locate(self.store, clips, (*_DRAWN, *COLUMNS)), strict=True)
            ]
        )


def clip_fingerprint(job: RenderJob, model: ModelRecord) -> str:
    """Return the hash of all that can change a video, but the clip. The set's name is part of it: sets stay apart."""
    (noise, *again), (_, sampler) = noises_of(job, model), settings_of(job, model)
    return fingerprint(
        {
            "stage": "render",
            "version": VERSION,
            "name": job.name,
            "weights": model.weights,
            "noise": noise.model_dump(),
            "sampler": sampler_identity(sampler),
            **({"noises": [kind.model_dump() for kind in again]} if again else {}),
            "use_control": job.use_control,
            "seed": job.seed,
            **_output_identity(job),
        }
    )


def _output_identity(job: RenderJob) -> dict[str, object]:
    """Return how a video is written, where that is not as it was before there was a choice: videos keep their keys."""
    own, usual = (output_identity(output.model_copy(update={"audio": True})) for output in (job.output, OutputConfig()))
    return {} if own == usual else {"output": own}


class RenderClip:
    """A model on an actor, on a GPU where the actor has one."""

    def __init__(
        self, store: Store, job: RenderJob, model: ModelRecord, videos: Table, reporter: Reporter = NOBODY
    ) -> None:
        keep_memory()
        self._store, self._job, self._videos, self._reporter = store, job, videos, reporter
        self._sampler = Sampler(store, job, model)

    def __call__(self, row: Row) -> Row:
        """Render one clip, write its file, and settle the item, whatever its outcome."""
        settled = settle(step("render")(self._render)(row, reporter=self._reporter), self._videos)
        self._reporter.flush()
        return settled

    def _render(self, row: Row) -> Row:
        clip = read_parts(self._store, row["files"], (*_DRAWN, *columns_of(row["files"])))
        shape, seed = tuple(clip["latents"]["shape"]), derive_seed(self._job.seed, "render", row["clip"])
        noises = [
            draw_noise(clip["plan"], shape, kind, derive_seed(seed, "draw", number) if number else seed)
            for number, kind in enumerate(noises_of(self._job, self._sampler.model))
        ]
        sampled = self._sampler.sample(shown(clip, row["fps"]), noises)
        (frames,) = self._sampler.decode([sampled.latents])
        with writing(row, self._job, self._store, frames.shape[1:3], Timing.at_rate(row["fps"])) as (write, about):
            write(frames)
        steps = settings_of(self._job, self._sampler.model)[1].steps
        return {**about, "frames": len(frames), "steps": steps, "metrics": sampled.metrics()}
