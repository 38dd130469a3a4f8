"""Driving videos to videos, whole: what is known of them, the motion and the windows of long ones, then the videos.

    drives   a row a video: content, size, shots                 every video
    shots    motion followed, strand by strand                   those of more than one window
    spans    windows sampled, each a row of latents              those of more than one window
    videos   decoded, blended, encoded                           every video; short ones are sampled on the way

Each is a batch job of its own on the same Ray, so that a killed run goes on within a video. A shot or a window that
fails is not given up by itself: its video fails with its message, is tried again by the next run, and is in quarantine
at last.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from typing import Any, cast

import pyarrow as pa
import ray.data

from equivdm.backbones import backbone_of
from equivdm.errors import UsageError
from equivdm.spans import lay_spans
from pipelines.batch import Items, RunSummary, Work, as_items, run_items, waves
from pipelines.ray_session import ray_session
from pipelines.record import Draft, recording
from pipelines.rendering.drives import drive_items, unknown_drives, update_drives
from pipelines.rendering.files import finish_video
from pipelines.rendering.identity import check_solver, video_fingerprint
from pipelines.rendering.items import FilmItems
from pipelines.rendering.motion import follow_shot, strand_keys
from pipelines.rendering.painter import Painter, WindowSampler
from pipelines.rendering.windows import draw_noises, encode_text, find_motion, make_control, read_frames
from pipelines.room import check_room
from pipelines.settings import Resources, SourceConfig
from pipelines.sources import list_videos
from pipelines.steps import actor_pool, spread, spread_apart, spread_in_turn
from pipelines.tables import Row, Table
from pipelines.tally import Reporter, start_tally

_COLOURS = ("low_resolution", "video")
"""Conditions in colour. Whether one that lies beside a video is, its pictures tell."""

BEFORE = (read_frames, find_motion, make_control, draw_noises)
"""Steps of a window before the model, which share their resources."""


class Films(FilmItems):
    """What runs the steps of the items."""

    def run(self) -> RunSummary:
        """Bring the `videos` table up to date with the source."""
        self.check()
        listed = list_videos(self.source)
        with recording(self.store, Draft("render", self.job)) as draft, ExitStack() as session:
            unknown, reporter = unknown_drives(self.store, self.job, listed, draft.run), None
            videos, items = self.inputs(listed)
            if len(unknown) or next(waves(items, videos, draft.run), None):
                with draft.start_up():
                    session.enter_context(ray_session(self.job.ray))
                    for steps in ({"probe": self.job.work.probe}, {"shots": self.job.work.motion}, self.steps):
                        check_room(steps, self.job.ray)
                    reporter = start_tally(draft.job)
            if len(unknown) and reporter:
                update_drives(draft, self.store, self.job, unknown, reporter)
                items = self.inputs(listed)[1]
            for wave in waves(items, videos, draft.run):
                self.follow(draft, wave, reporter)
                self.sample(draft, wave, reporter)
            work = Work(videos, self._to_videos, self.steps, self.with_windows)
            summary = run_items(draft, f"render {self.job.name}", items, work, reporter)
        return replace(summary, record=draft.page)

    def check(self) -> None:
        """Raise UsageError where the job does not go with the model, before any video is looked at."""
        check_solver(self.job, self.model)
        backbone, window = backbone_of(self.model.backbone), self.job.window
        if self.job.control.kind in _COLOURS and backbone.control_form() == "pixels" and not backbone.takes_colour:
            raise UsageError(
                f"control.kind: got {self.job.control.kind}, in colour, for a model that takes grey conditions: "
                "give the kind that it was trained with"
            )
        self.job.frame.check_multiple(backbone.multiple)
        try:
            lay_spans(window.frames, window.frames, window.overlap, backbone.geometry)
        except ValueError as error:
            raise UsageError(f"window: {error}") from error

    def inputs(self, listed: pa.Table | None = None) -> tuple[Table, Items]:
        """Return the table and the items of the job, a video each; `listed` spares listing the source again."""
        own, videos = video_fingerprint(self.job, self.model), list_videos(self.source) if listed is None else listed
        return self.store.table("videos"), drive_items(self.store, self.job, videos, own)

    def parts(self) -> dict[str, set[str]]:
        """Return the keys of all strands and samples of the job's videos, by table, be they there or not."""
        found: dict[str, set[str]] = {"strands": set(), "samples": set()}
        for batch in self.inputs()[1].batches():
            for drive, takes in self.long(batch.to_pylist()):
                for take in takes:
                    found["strands"].update(strand_keys(drive["content"], take, self.motion))
                    found["samples"].update(self.window_keys(drive, take))
        return found

    @cached_property
    def steps(self) -> dict[str, Resources]:
        """What each step of a video takes, by its name, in their order."""
        work = self.job.work
        return {**self._before_model, "paint": work.model, "write": work.write}

    @property
    def _before_model(self) -> dict[str, Resources]:
        work = self.job.work
        return dict.fromkeys(("frames", "motion", "controls", "noises"), work.windows) | {"texts": work.texts}

    # Long videos, before they are written

    def follow(self, draft: Draft, drives: Sequence[Row], reporter: Reporter | None) -> None:
        """Follow the motion of the shots of long videos, as far as it is not known."""

        def pipeline(items: ray.data.Dataset, reporter: Reporter) -> ray.data.Dataset:
            given = {"job": self.job, "model": self.model, "store": self.store, "own": self.motion}
            return spread_apart(items, follow_shot, self.job.work.motion, **given, reporter=reporter)

        steps = {"shots": self.job.work.motion}
        work = Work(self.store.table("shots"), pipeline, steps, self.with_strands)
        run_items(draft, "shots", as_items(self.shots(drives)), work, reporter)

    def sample(self, draft: Draft, drives: Sequence[Row], reporter: Reporter | None) -> None:
        """Sample the windows of long videos, as far as they are not there."""

        def pipeline(items: ray.data.Dataset, reporter: Reporter) -> ray.data.Dataset:
            given = (self.store, self.job, self.model, reporter)
            items = self._before(items, reporter)
            return items.map(cast(Any, WindowSampler), fn_constructor_args=given, **actor_pool(self.job.work.model))

        steps = {**self._before_model, "sample": self.job.work.model}
        work = Work(self.store.table("spans"), pipeline, steps, self.with_motion)
        run_items(draft, "windows", as_items(self.windows(drives)), work, reporter)

    @property
    def source(self) -> SourceConfig:
        """The driving videos."""
        assert self.job.source is not None
        return self.job.source

    # Pipelines

    def _before(self, items: ray.data.Dataset, reporter: Reporter) -> ray.data.Dataset:
        steps = [(function, self.job.work.windows) for function in BEFORE] + [(encode_text, self.job.work.texts)]
        return spread_in_turn(items, steps, job=self.job, model=self.model, store=self.store, reporter=reporter)

    def _to_videos(self, items: ray.data.Dataset, reporter: Reporter) -> ray.data.Dataset:
        given = {"job": self.job, "model": self.model, "store": self.store, "reporter": reporter}
        items = self._before(items, reporter).map(
            cast(Any, Painter),
            fn_constructor_args=(self.store, self.job, self.model, reporter),
            **actor_pool(self.job.work.model),
        )
        return spread(items, finish_video, self.job.work.write, **given)
