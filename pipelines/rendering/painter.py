"""The model's actors: one samples the windows of long videos, one brings all videos to their frames."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from equivdm.arrays import Frames
from equivdm.backbones import backbone_of
from equivdm.blend import blend
from equivdm.spans import Span
from pipelines.allocator import keep_memory
from pipelines.config import RenderJob
from pipelines.models import ModelRecord
from pipelines.rendering.files import put_video
from pipelines.rendering.layout import Take, takes_of
from pipelines.rendering.measure import Scene
from pipelines.rendering.motion import failed_part
from pipelines.rendering.sampler import Sampler
from pipelines.rendering.windows import read_strand
from pipelines.schemas import from_tensor, to_tensor
from pipelines.steps import NOBODY, put, settle, step
from pipelines.store import Store
from pipelines.tables import Row
from pipelines.tally import Reporter

if TYPE_CHECKING:
    from equivdm.types import Latents


class WindowSampler:
    """Samples the windows of long videos, on an actor: each is settled when its latents are written."""

    def __init__(self, store: Store, job: RenderJob, model: ModelRecord, reporter: Reporter = NOBODY) -> None:
        keep_memory()
        self._store, self._reporter, self._sampler = store, reporter, Sampler(store, job, model)

    def __call__(self, row: Row) -> Row:
        """Sample a window and settle its item. One that fails is not given up: its video is."""
        row = step("sample")(self._sample)(row, reporter=self._reporter)
        if row.get("outcome"):
            row = {**row, **failed_part(row)}
        settled = settle(row, self._store.table("spans"))
        self._reporter.flush()
        return settled

    def _sample(self, row: Row) -> Row:
        noises = [from_tensor(each) for each in row["noises"]]
        latents = self._sampler.sample(self._sampler.shown(row), noises).latents
        stored = to_tensor(latents[0].half().cpu().numpy())
        return put(row, self._store.table("samples"), row["key"], latents=stored)


class Painter:
    """Brings videos to their frames, on an actor: short ones are sampled first, long ones were before."""

    def __init__(self, store: Store, job: RenderJob, model: ModelRecord, reporter: Reporter = NOBODY) -> None:
        keep_memory()
        self._store, self._job, self._reporter, self._sampler = store, job, reporter, Sampler(store, job, model)

    def __call__(self, row: Row) -> Row:
        """Return the frames of a short video as a column, and of a long one the file that it was written to."""
        return step("paint")(self._paint)(row, reporter=self._reporter)

    def _paint(self, row: Row) -> Row:
        if row["whole"]:
            return put_video(row, self._job, self._sampler.model, self._store, self._scenes(row))
        noises = [from_tensor(each) for each in row["noises"]]
        latents = self._sampler.sample(self._sampler.shown(row), noises).latents
        (frames,) = self._sampler.decode([latents])
        return {"pixels": to_tensor(frames[: row["frames"]]), "noises": None, "control": None}

    def _scenes(self, row: Row) -> Iterator[Scene]:
        """Yield the shots of a long video, which must be gone through in turn."""
        geometry = backbone_of(self._sampler.model.backbone).geometry
        samples, strands = iter(row["samples"]), iter(row["strands"])
        for take in takes_of(row, self._job, geometry):
            windows = [(span, next(samples)) for span in take.spans]
            pieces = list(islice(strands, len(take.pieces)))
            motion = (read_strand(self._store, file, ["backward", "occluded"]) for file in pieces)
            yield Scene(take, self._blended(take, windows), motion)

    def _blended(self, take: Take, windows: Iterable[tuple[Span, str]]) -> Iterator[Frames]:
        geometry, left = backbone_of(self._sampler.model.backbone).geometry, take.frames
        latents = blend(((span, self._stored(file)) for span, file in windows), geometry)
        for frames in self._sampler.decode(latents):
            yield frames[:left]  # the last window may reach beyond the shot
            left = max(0, left - len(frames))

    def _stored(self, file: str) -> "Latents":
        import torch

        (row,) = self._store.table("samples").read_files([file], ["latents"]).to_pylist()
        return torch.tensor(from_tensor(row["latents"])).float()[None].to(self._sampler.device)
