"""What a window needs before it is sampled: its frames, its motion, its condition, its noise.

The window of a short video is sampled on the way to the video; those of a long one are items of their own, whose motion
was followed before, and whose dense condition has the scale of the whole shot.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple, cast

from equivdm.arrays import ControlMap
from equivdm.backbones import backbone_of
from equivdm.config import ControlConfig
from equivdm.control import Control, build_control
from equivdm.control_files import read_control
from equivdm.control_scale import ControlScale, scaled_control
from equivdm.spans import Span, pieces_under
from equivdm.strands import Steps, follow, noise_of
from equivdm.video.write import check_codec
from pipelines.captions import encode_caption
from pipelines.config import RenderJob
from pipelines.copies import kept_source_file
from pipelines.manifest import sandbox
from pipelines.models import ModelRecord
from pipelines.rendering.identity import noises_of
from pipelines.rendering.layout import Take, fit_of, seeds_of, takes_of
from pipelines.rendering.motion import flow_source, stored_motion
from pipelines.schemas import from_tensor, to_tensor
from pipelines.sources import control_beside
from pipelines.steps import step
from pipelines.store import Store
from pipelines.tables import Row

_control: Callable[[ControlConfig], Control] = cast(Any, cache(build_control))


class Place(NamedTuple):
    """Which window a row is of."""

    take: Take
    span: Span

    @classmethod
    def of(cls, row: Row, job: RenderJob, model: ModelRecord) -> "Place":
        """Return that of a row: `take` and `span` are numbers."""
        take = takes_of(row, job, backbone_of(model.backbone).geometry)[row["take"]]
        return cls(take, take.spans[row["span"]])

    @property
    def indices(self) -> list[int]:
        """Frame numbers in the video."""
        return [self.take.first + frame for frame in self.span.indices(self.take.frames)]


@step("frames")
def read_frames(row: Row, job: RenderJob, model: ModelRecord, store: Store) -> Row | None:
    """Decode the frames of a window; a video that cannot be rendered ends here, with what keeps it from that."""
    del store
    if row["error"]:
        final = row["final"] or (row["attempt"] >= row["max_attempts"] and not row.get("passing"))
        return {"outcome": "quarantined" if final else "failed"}
    if row["whole"]:
        return None
    assert job.source is not None
    indices, shown = Place.of(row, job, model).indices, fit_of(row, job, model.backbone)
    check_codec(job.output, shown.output)  # now, not when all is sampled
    with kept_source_file(job.source, row["source"]) as local:
        return {"pixels": to_tensor(sandbox(job.decode).decode(local, indices, shown))}


@step("motion")
def find_motion(row: Row, job: RenderJob, model: ModelRecord, store: Store) -> Row | None:
    """Find the motion plans of a window: of a short video from its flow, of a long one where they are stored.

    The motion of a short one stays, to measure the video by.
    """
    if row["whole"]:
        return None
    if row["strands"]:
        return {"plans": [read_strand(store, file, ["plan"])["plan"] for file in row["strands"]]}
    place, frames = Place.of(row, job, model), from_tensor(row["pixels"])[: row["frames"]]
    if len(frames) == 1:
        return {"plans": _planned(row, job, model, place, ()), "motion": None}
    assert job.source is not None
    shown = fit_of(row, job, model.backbone)
    with kept_source_file(job.source, row["source"]) as local, flow_source(row, job, local, shown) as flow:
        steps = flow(frames, place.indices[: len(frames)])
    motion = stored_motion(*steps, job)
    stored = None if motion is None else {"backward": to_tensor(motion[0]), "occluded": to_tensor(motion[1])}
    return {"plans": _planned(row, job, model, place, [steps]), "motion": stored}


@step("controls")
def make_control(row: Row, job: RenderJob, model: ModelRecord, store: Store) -> Row | None:
    """Compute the dense condition of a window's frames, or read it beside the video, where the model takes one.

    That of a long video is on the scale of its shot, which the shot's last strand has.
    """
    if row["whole"] or backbone_of(model.backbone).control_form() == "none":
        return None
    if job.control.kind == "file":
        return {"control": to_tensor(_read_control(row, job, model))}
    frames = from_tensor(row["pixels"])
    if not row["strands"]:
        return {"control": to_tensor(_control(job.control)(frames))}
    scale = ControlScale.from_bytes(read_strand(store, row["last_strand"], ["scale"])["scale"])
    return {"control": to_tensor(scaled_control(job.control, scale)(frames))}


@step("noises")
def draw_noises(row: Row, job: RenderJob, model: ModelRecord, store: Store) -> Row | None:
    """Draw the noise that a window starts from, and that of each re-noising: the frames have served then."""
    del store
    if row["whole"]:
        return None
    place, kinds = Place.of(row, job, model), noises_of(job, model)
    geometry = backbone_of(model.backbone).geometry
    plans = dict(zip(pieces_under(place.span, place.take.pieces), row["plans"], strict=True))
    seeds = seeds_of(job, row["content"], place.take, len(kinds))
    drawn = [noise_of(place.span, plans, geometry, geometry.channels, *each) for each in zip(seeds, kinds, strict=True)]
    return {"noises": [to_tensor(each) for each in drawn], "pixels": None, "plans": None}


@step("texts")
def encode_text(row: Row, job: RenderJob, model: ModelRecord, store: Store) -> Row | None:
    """Encode the caption and the empty one."""
    del job, store
    if row["whole"]:
        return None
    caption = encode_caption(model.backbone, row["caption"])
    return {"text": to_tensor(caption.text), "empty": to_tensor(caption.empty)}


def _read_control(row: Row, job: RenderJob, model: ModelRecord) -> ControlMap:
    assert job.source is not None
    with kept_source_file(job.source, row["source"]) as local, control_beside(job.source, row["source"]) as place:
        indices, shown = Place.of(row, job, model).indices, fit_of(row, job, model.backbone)
        return read_control(place, indices, sandbox(job.decode).probe(local), shown)


def read_strand(store: Store, file: str, columns: Sequence[str]) -> Row:
    """Return columns of a piece of a shot's particles, given its data file."""
    return store.table("strands").read_files([file], columns).to_pylist()[0]


def _planned(row: Row, job: RenderJob, model: ModelRecord, place: Place, steps: Sequence[Steps]) -> list[bytes]:
    size, geometry = fit_of(row, job, model.backbone).size, backbone_of(model.backbone).geometry
    strands = follow(
        steps,
        place.take.pieces,
        size,
        grid=geometry.grid(*size),
        per_cell=job.plan.per_cell,
        stride=geometry.time_stride,
        frames=place.take.frames,
    )
    return [strand.plan for strand in strands]
