"""The steps of preprocess: each computes what its stages lack, writes it as a part, and leaves the rest as it is.

What follows from a stage is computed from what is stored of it (flow as float16 at its declared resolution), so that it
does not matter whether a stage was computed in this run or found.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache, lru_cache
from typing import Any, cast

import numpy as np

from equivdm.arrays import ControlMap, Frames
from equivdm.backbones import backbone_of
from equivdm.config import BackboneConfig, ControlConfig, FlowConfig, OcclusionConfig
from equivdm.control import Control, build_control
from equivdm.control_files import read_control
from equivdm.flow import Estimator, build_estimator, flow_statistics, occlusion_of, shrink_flow
from equivdm.flow.files import read_flow
from equivdm.noise import MotionPlan, plan_motion
from equivdm.seeds import derive_seed
from equivdm.video.looks import measure_looks
from pipelines.captions import encode_caption
from pipelines.clips import read_parts
from pipelines.config import PreprocessJob
from pipelines.encoding import as_video, encoder
from pipelines.filters import judge
from pipelines.manifest import sandbox
from pipelines.schemas import LOOKS_STATISTICS, MOTION_STATISTICS, from_tensor, to_tensor
from pipelines.sources import control_beside, flow_beside, source_file
from pipelines.stages import OF_PIXELS
from pipelines.steps import put, receipt_of, step, with_part
from pipelines.store import Store
from pipelines.tables import Row, Table

_USUAL = OcclusionConfig()
"""By which flow is judged; what a job counts as occluded changes its plans only."""


@step("decode")
def decode_window(row: Row, job: PreprocessJob, store: Store) -> Row | None:
    """Decode the window out of process, at the clip's size, where a stage needs its frames; judge what it looks like.

    A video without windows ends here, by the rule that the manifest names, or by what keeps it from being probed.
    """
    if row["window"] < 0:
        return _without_windows(row)
    if ended := _judged(_stored(row, store, "looks", LOOKS_STATISTICS), job):
        return ended
    if not (missing := [name for name in OF_PIXELS if _lacks(row, name)]):
        return None
    with source_file(job.source, row["source"]) as local:
        frames = sandbox(job.decode).decode(local, row["indices"], (row["height"], row["width"]))
    if "looks" not in missing:
        return {"pixels": to_tensor(frames)}
    looks = asdict(measure_looks(frames))
    part = put(row, store.table("looks"), row["keys"]["looks"], **looks)
    return part | (_judged(looks, job) or {"pixels": to_tensor(frames)})


@step("motion")
def estimate_window_motion(row: Row, job: PreprocessJob, store: Store) -> Row | None:
    """Flow both ways, as it is stored, and its statistics; judge them."""
    if row["have"]["motion"]:
        return _judged(_stored(row, store, "motion", MOTION_STATISTICS), job)
    frames = _pixels(row)
    forward, backward = _read_flow(row, job) if job.flow.kind == "file" else _estimator(job.flow)(frames)
    occluded, _ = occlusion_of(forward, backward, _USUAL)
    statistics = asdict(flow_statistics(forward, None if backward is None else occluded, frames))
    stored = {
        "forward": to_tensor(shrink_flow(forward, job.flow_divisor)),
        "backward": None if backward is None else to_tensor(shrink_flow(backward, job.flow_divisor)),
    }
    part = put(row, store.table("motion"), row["keys"]["motion"], **stored, **statistics)
    return part | (_judged(statistics, job) or {"flow": stored})


@step("plans")
def make_plan(row: Row, job: PreprocessJob, store: Store) -> Row | None:
    """Occlusion and the motion plan that follow from the stored flow, and one draw of noise where it is asked for."""
    if row["have"]["plans"]:
        return None
    flow = row.get("flow") or read_parts(store, row["have"], ["forward", "backward"])
    forward, backward = (_flow(flow[name]) for name in ("forward", "backward"))
    assert forward is not None
    geometry = backbone_of(job.backbone).geometry
    plan = plan_motion(
        forward,
        backward,
        grid=geometry.grid(row["height"], row["width"]),
        per_cell=job.plan.per_cell,
        frames=geometry.frame_indices(row["frames"]),
        unknown="fresh",  # an estimator may be wild where nothing is to be seen; that must not cost the clip
    ).to_bytes()
    masks = occlusion_of(forward, backward, job.flow.occlusion)
    columns = dict(zip(("occluded_forward", "occluded_backward"), map(_mask, masks), strict=True))
    return put(row, store.table("plans"), row["keys"]["plans"], plan=plan, **columns) | {"plan": plan}


@step("noises")
def draw_noise(row: Row, job: PreprocessJob, store: Store) -> Row | None:
    """One draw of warped noise, where it is asked for."""
    if not _lacks(row, "noises"):
        return None
    plan = MotionPlan.from_bytes(row.get("plan") or read_parts(store, row["have"], ["plan"])["plan"])
    seed = derive_seed(0, "materialized", row["keys"]["noises"])
    noise = plan.noise(seed, backbone_of(job.backbone).geometry.channels).astype(np.float16)
    return put(row, store.table("noises"), row["keys"]["noises"], noise=to_tensor(noise))


@step("controls")
def make_control(row: Row, job: PreprocessJob, store: Store) -> Row | None:
    """The dense condition of the frames, where the backbone takes one."""
    if not _lacks(row, "controls"):
        return None
    control = to_tensor(_read_control(row, job) if job.control.kind == "file" else _control(job.control)(_pixels(row)))
    return put(row, store.table("controls"), row["keys"]["controls"], control=control) | {"control": control}


@step("texts")
def encode_text(row: Row, job: PreprocessJob, store: Store) -> Row | None:
    """The caption and the empty one as the backbone takes them; a process writes each caption once."""
    if not _lacks(row, "texts"):
        return None
    return with_part(
        row, _write_text(store.table("texts"), row["keys"]["texts"], row["run"], row["caption"], job.backbone)
    )


@step("hints")
def encode_control(row: Row, job: PreprocessJob, store: Store) -> Row | None:
    """The dense condition through the backbone's `encode`, as a video: 0 is black, 255 white, one channel grey."""
    if not _lacks(row, "hints"):
        return None
    control = row.get("control") or read_parts(store, row["have"], ["control"])["control"]
    hint = to_tensor(_encode(job.backbone)(as_video(from_tensor(control))))
    return put(row, store.table("hints"), row["keys"]["hints"], hint=hint)


@step("blanks")
def encode_blank(row: Row, job: PreprocessJob, store: Store) -> Row | None:
    """Mid grey through the backbone's `encode`: what shows nothing; a process writes each size once."""
    if not _lacks(row, "blanks"):
        return None
    size = (row["frames"], row["height"], row["width"])
    return with_part(row, _write_blank(store.table("blanks"), row["keys"]["blanks"], row["run"], size, job.backbone))


@step("latents")
def encode_latents(row: Row, job: PreprocessJob, store: Store) -> Row | None:
    """The backbone's `encode`, on a GPU where the process has one."""
    if row["have"]["latents"]:
        return None
    latents = to_tensor(_encode(job.backbone)(as_video(_pixels(row))))
    return put(row, store.table("latents"), row["keys"]["latents"], latents=latents)


def _without_windows(row: Row) -> Row:
    """Give the outcome of a video whose windows are not known, as the manifest tells it."""
    if row["rule"]:
        return {"outcome": "filtered", "rule": row["rule"], "message": row["message"]}
    final = row["final"] or row["attempt"] >= row["max_attempts"]
    return {"outcome": "quarantined" if final else "failed", "error": row["error"], "message": row["message"]}


def _judged(statistics: Mapping[str, float | None], job: PreprocessJob) -> Row | None:
    verdict = judge(statistics, job.filters)
    return None if verdict is None else {"outcome": "filtered", "rule": verdict.rule, "message": verdict.message}


def _lacks(row: Row, stage: str) -> bool:
    """Whether the clips of the job have a stage that is neither computed nor found."""
    return row["have"].get(stage) == ""


def _stored(row: Row, store: Store, stage: str, columns: tuple[str, ...]) -> Row:
    return read_parts(store, row["have"], columns) if row["have"][stage] else {}


def _read_flow(row: Row, job: PreprocessJob) -> tuple[np.ndarray, np.ndarray | None]:
    """Read the motion vectors that lie beside the video, at the clip's size."""
    with source_file(job.source, row["source"]) as local, flow_beside(job.source, row["source"]) as place:
        info = sandbox(job.decode).probe(local)
        return read_flow(place, row["indices"], info, (row["height"], row["width"]))


def _read_control(row: Row, job: PreprocessJob) -> ControlMap:
    """Read the condition that lies beside the video, at the clip's size."""
    with source_file(job.source, row["source"]) as local, control_beside(job.source, row["source"]) as place:
        info = sandbox(job.decode).probe(local)
        return read_control(place, row["indices"], info, (row["height"], row["width"]))


def _flow(stored: dict[str, Any] | None) -> np.ndarray | None:
    return None if stored is None else from_tensor(stored).astype(np.float32)


def _mask(mask: np.ndarray | None) -> dict[str, Any] | None:
    return None if mask is None else to_tensor(mask)


def _pixels(row: Row) -> Frames:
    stored: dict[str, Any] = row["pixels"]
    return np.frombuffer(stored["data"], np.uint8).reshape(stored["shape"])


# What is loaded once in a process, be it an actor's or a task's.

_estimator: Callable[[FlowConfig], Estimator] = cast(Any, cache(build_estimator))
_control: Callable[[ControlConfig], Control] = cast(Any, cache(build_control))


def _encoder(backbone: BackboneConfig) -> Callable[[np.ndarray], np.ndarray]:
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return encoder(backbone_of(backbone).build_codec(device), device)


_encode: Callable[[BackboneConfig], Callable[[np.ndarray], np.ndarray]] = cast(Any, cache(_encoder))


# Rows that many windows of a run share. A receipt may go to the driver more than once: a commit drops what is there.


def _put_text(table: Table, key: str, run: str, caption: str | None, backbone: BackboneConfig) -> Row:
    encoded = encode_caption(backbone, caption)
    return receipt_of(table, key, run, text=to_tensor(encoded.text), empty=to_tensor(encoded.empty))


def _put_blank(table: Table, key: str, run: str, size: tuple[int, int, int], backbone: BackboneConfig) -> Row:
    blank = _encode(backbone)(np.zeros((3, *size), np.float32))
    return receipt_of(table, key, run, blank=to_tensor(blank))


_write_text: Callable[..., Row] = cast(Any, lru_cache(maxsize=4096)(_put_text))
_write_blank: Callable[..., Row] = cast(Any, lru_cache(maxsize=64)(_put_blank))
