"""The motion of a long video's shot, followed once from end to end: its particles piece by piece, for all its windows.

A shot is one item of `shots`; its pieces are rows of `strands`, which the driver commits as they come, so that a killed
run goes on behind the last of them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any, cast

import numpy as np

from equivdm.arrays import Flow, Frames
from equivdm.backbones import backbone_of
from equivdm.config import BackboneConfig, FlowConfig
from equivdm.control_scale import ControlScale, control_scale
from equivdm.flow import Estimator, build_estimator, occlusion_of, shrink_flow
from equivdm.flow.files import read_flow
from equivdm.strands import Steps, Strand, follow
from equivdm.video.decode import decode_chunks
from equivdm.video.frame import Fit
from pipelines.allocator import keep_memory
from pipelines.config import RenderJob
from pipelines.identity import item_key
from pipelines.manifest import sandbox
from pipelines.models import ModelRecord
from pipelines.rendering.identity import control_of
from pipelines.rendering.layout import Take, fit_of, takes_of
from pipelines.schemas import to_tensor
from pipelines.sources import flow_beside, source_file
from pipelines.steps import ITEM_FAULTS, NOBODY, failure, receipt_of, settle
from pipelines.store import Store
from pipelines.tables import Row
from pipelines.tally import Reporter

DIVISOR = 4
"""Backward flow is kept at this part of the frames' height and width, to measure the video by."""

_CHUNK = 16
"""Frames that are decoded at once."""

EVER = 1 << 30
"""Attempts at a shot or a window: it is the video that is given up."""

estimator_of: Callable[[FlowConfig], Estimator] = cast(Any, cache(build_estimator))
"""The estimator of a config, built once in a process."""


def shot_key(content: str, take: Take, own: str) -> str:
    """Return the key of a shot under the fingerprint `own`."""
    return item_key(content, take.first, take.frames, own)


def strand_keys(content: str, take: Take, own: str) -> list[str]:
    """Return the keys of its pieces."""
    shot = shot_key(content, take, own)
    return [item_key(shot, number) for number in range(len(take.pieces))]


def follow_shot(
    row: Row, job: RenderJob, model: ModelRecord, store: Store, own: str, reporter: Reporter = NOBODY
) -> Iterator[Row]:
    """Yield the strands of a shot as parts of an item, then the item itself, settled.

    `row` is that of the video, with `take` (number of the shot) and `have` (files of the strands that are there); `own`
    is the fingerprint of all that decides motion.
    """
    keep_memory()
    take, ended = takes_of(row, job, backbone_of(model.backbone).geometry)[row["take"]], dict[str, Any]()
    with reporter.stage("shots") as item:
        try:
            keys = strand_keys(row["content"], take, own)
            watch = _watch(row, job, model, store, take)
            for strand in _strands(row, job, model.backbone, watch):
                columns = {"plan": strand.plan, "state": strand.state, **watch.columns(take.pieces[strand.number])}
                receipt = receipt_of(store.table("strands"), keys[strand.number], row["run"], **columns)
                item.bytes_out += receipt["bytes"]
                yield {"rows": [], "parts": [receipt]}
        except ITEM_FAULTS as fault:
            ended, item.outcome = failed_part(failure(fault, row["attempt"], EVER)), "failed"
    yield settle({**row, **ended, "shot": take.number}, store.table("shots"))
    reporter.flush()


def _strands(row: Row, job: RenderJob, backbone: BackboneConfig, watch: "_Watch") -> Iterator[Strand]:
    """Yield the strands of a shot, from where the watch begins."""
    geometry, shown, take = backbone_of(backbone).geometry, fit_of(row, job, backbone), watch.take
    return follow(
        watch(_motion(row, job, take, watch.frame, shown)),
        take.pieces,
        shown.size,
        grid=geometry.grid(*shown.size),
        per_cell=job.plan.per_cell,
        stride=geometry.time_stride,
        frames=take.frames,
        resume=watch.state,
    )


Pictures = Iterable[tuple[Frames, Steps | None]]
"""Frames of a shot, and the flow that leads to them from the frame before each; None for its first frame alone."""


def _motion(row: Row, job: RenderJob, take: Take, first: int, shown: Fit) -> Pictures:
    """Yield frames of a shot from `first` on, chunk by chunk, with the flow to them."""
    assert job.source is not None
    start, stop = take.first + first, take.first + take.frames
    with ExitStack() as opened:
        local = opened.enter_context(source_file(job.source, row["source"]))
        flow = opened.enter_context(flow_source(row, job, local, shown))
        # Closed here: until then no other call to the decoder gets its turn.
        chunks = sandbox(job.decode).stream(decode_chunks, local, start, stop, shown, _CHUNK)
        last: Frames | None = None
        for frames in opened.enter_context(closing(chunks)):
            known = frames if last is None else np.concatenate([last, frames])
            indices = range(start + len(frames) - len(known), start + len(frames))
            yield frames, flow(known, indices) if len(known) > 1 else None
            last, start = frames[-1:], indices.stop


FlowSource = Callable[[Frames, Sequence[int]], Steps]
"""From frames of a driving video, and their numbers in it, to the flow both ways between them."""


@contextmanager
def flow_source(row: Row, job: RenderJob, local: str, shown: Fit) -> Iterator[FlowSource]:
    """Give what estimates the flow of a driving video, or reads what lies beside it.

    `local` is the video's copy, and `shown` says how frames lie on its pictures.
    """
    if job.flow.kind != "file":
        yield lambda frames, _: estimator_of(job.flow)(frames)
        return
    assert job.source is not None
    info = sandbox(job.decode).probe(local)
    with flow_beside(job.source, row["source"]) as place:
        yield lambda _, indices: read_flow(place, indices, info, shown)


@dataclass
class _Watch:
    """Sees the pictures go by on their way to the particles, and keeps what the rows of strands have beside these."""

    job: RenderJob
    take: Take
    scale: ControlScale
    """Of the condition of all frames so far."""
    frame: int = 0
    """The frame that the next pictures begin with, in the shot."""
    state: bytes | None = None
    """What the particles go on from there."""
    kept: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    """Backward flow and what is hidden, at their stored size, by the frame that the step begins from."""
    scales: dict[int, bytes] = field(default_factory=dict)
    """The scale of all frames before a piece's end, by that end."""

    def __call__(self, pictures: Pictures) -> Iterator[Steps]:
        for frames, steps in pictures:
            if steps is not None:
                self._keep(*steps, first=self.frame + len(frames) - len(steps[0]) - 1)
            self._measure(frames)
            if steps is not None:
                yield steps

    def columns(self, piece: range) -> Row:
        """Return the columns of a piece, and forget what they are made of."""
        kept = [self.kept.pop(frame) for frame in piece if frame in self.kept]
        backward, hidden = (to_tensor(np.stack(each)) for each in zip(*kept, strict=True)) if kept else (None, None)
        scale = self.scales.pop(piece.stop, None) or self.scale.to_bytes()
        return {"backward": backward, "occluded": hidden, "scale": scale}

    def _measure(self, frames: Frames) -> None:
        """Take frames into the scale, and keep it at the end of each piece: who goes on from there sees what comes
        behind it again."""
        first, self.frame = self.frame, self.frame + len(frames)
        ends = [piece.stop for piece in self.take.pieces if first < piece.stop <= self.frame]
        for start, stop in pairwise(dict.fromkeys([first, *ends, self.frame])):
            self.scale.add(frames[start - first : stop - first])
            if stop in ends:
                self.scales[stop] = self.scale.to_bytes()

    def _keep(self, forward: Flow, backward: Flow | None, first: int) -> None:
        stored = stored_motion(forward, backward, self.job)
        if stored is not None:
            self.kept |= {first + number: each for number, each in enumerate(zip(*stored, strict=True))}


def _watch(row: Row, job: RenderJob, model: ModelRecord, store: Store, take: Take) -> _Watch:
    """Return a watch over a shot, from its start or from behind the last strand that is there."""
    if not row["have"]:
        return _Watch(job, take, control_scale(control_of(job, model)))
    (saved,) = store.table("strands").read_files([row["have"][-1]], ["state", "scale"]).to_pylist()
    return _Watch(
        job, take, ControlScale.from_bytes(saved["scale"]), take.pieces[len(row["have"])].start, saved["state"]
    )


def failed_part(ended: Row) -> Row:
    """Return the outcome of a shot or a window: it stays open, and says what its video's outcome is to be."""
    return {**ended, "outcome": "failed", "final": ended["outcome"] == "quarantined"}


def stored_motion(forward: Flow, backward: Flow | None, job: RenderJob) -> tuple[np.ndarray, np.ndarray] | None:
    """Return backward flow and the pixels that are new in each frame, as they are kept; None where only forward is
    known."""
    _, hidden = occlusion_of(forward, backward, job.flow.occlusion)
    if backward is None or hidden is None:
        return None
    return shrink_flow(backward, DIVISOR), hidden[:, DIVISOR // 2 :: DIVISOR, DIVISOR // 2 :: DIVISOR]
