"""Every table's schema, and the one form in which tensors are stored.

A tensor is `struct<data: binary, shape: list<int32>, dtype: string>`: plain Parquet that any reader understands (Arrow
extension types do not survive Delta Lake). `pipelines` holds tensors on the host as numpy arrays.
"""

from dataclasses import fields
from typing import Any

import numpy as np
import pyarrow as pa

from equivdm.flow.confidence import FlowStatistics
from equivdm.video.looks import Looks

TENSOR = pa.struct([("data", pa.binary()), ("shape", pa.list_(pa.int32())), ("dtype", pa.string())])

OUTCOME = [
    ("outcome", pa.string()),  # done | filtered | failed (tried again by the next run) | quarantined
    ("rule", pa.string()),  # which rule filtered it
    ("error", pa.string()),  # class of the failure
    ("message", pa.string()),
    ("attempt", pa.int32()),  # 1 for the first run that tried it
    ("run", pa.string()),
    ("seconds", pa.float64()),  # of computing, without queues
    ("created", pa.timestamp("us", tz="UTC")),
]

WINDOW = [
    ("content", pa.string()),  # of the window: hash of the video's content and its frames
    ("video", pa.string()),  # content id of the source
    ("source", pa.string()),  # where it lies
    ("path", pa.string()),  # below the source's root
    ("window", pa.int32()),  # -1: the video could not be probed, or is too short for a window
    ("shot", pa.int32()),
    ("indices", pa.list_(pa.int32())),  # its frames in the source
    ("fps", pa.float64()),
    ("source_frames", pa.int32()),
    ("caption", pa.string()),
    ("frames", pa.int32()),  # of the clip: the job's own, or those of the bucket
    ("height", pa.int32()),
    ("width", pa.int32()),
]

MANIFEST = pa.schema(
    [
        ("key", pa.string()),
        *WINDOW,
        ("metadata", pa.string()),  # JSON object of the source's own manifest, where it has one
        ("outcome", pa.string()),  # done | failed (probed again by the next run)
        ("attempt", pa.int32()),
        ("rule", pa.string()),  # which rule left the whole video out
        ("error", pa.string()),  # class of what kept it from being probed
        ("message", pa.string()),
        ("layout", pa.string()),
        ("run", pa.string()),
    ]
)
"""A row per window of a video, before any is computed. `key` names the file's version and the layout of windows."""

STAGE = [
    ("key", pa.string()),
    ("run", pa.string()),
    ("seconds", pa.float64()),
    ("created", pa.timestamp("us", tz="UTC")),
]
"""What every stage's rows begin with."""

LOOKS_STATISTICS = tuple(field.name for field in fields(Looks))
"""What is told of a window's frames."""

MOTION_STATISTICS = tuple(field.name for field in fields(FlowStatistics))
"""What is told of a window's flow."""

LOOKS = pa.schema([*STAGE, *((name, pa.float64()) for name in LOOKS_STATISTICS)])
"""What a window's frames look like: statistics that filters judge."""

MOTION = pa.schema(
    [
        *STAGE,
        ("forward", TENSOR),  # float16 [frames - 1, rows, columns, 2], in pixels of its own size
        ("backward", TENSOR),  # null where the estimator gives none
        *((name, pa.float64()) for name in MOTION_STATISTICS),
    ]
)
"""A window's optical flow, at its declared resolution."""

PLANS = pa.schema(
    [
        *STAGE,
        ("plan", pa.binary()),  # MotionPlan.to_bytes
        ("occluded_forward", TENSOR),  # bool [frames - 1, rows, columns], at the flow's resolution
        ("occluded_backward", TENSOR),
    ]
)
"""What follows from the flow: occlusion, and the particles that carry the noise."""

CONTROLS = pa.schema([*STAGE, ("control", TENSOR)])
"""Dense conditions, uint8 [frames, height, width]."""

LATENTS = pa.schema([*STAGE, ("latents", TENSOR)])
"""Latents, float16 [channels, latent frames, h, w]."""

TEXTS = pa.schema([*STAGE, ("text", TENSOR), ("empty", TENSOR)])
"""A caption and the empty one, up to their ends: int64 tokens [words], or float16 embeddings [words, features]."""

HINTS = pa.schema([*STAGE, ("hint", TENSOR)])
"""Latents of the dense condition as a video, float16 like those of the clip, for backbones that are shown it so."""

BLANKS = pa.schema([*STAGE, ("blank", TENSOR)])
"""Latents of a clip of mid grey, which show such a backbone nothing, likewise; a row for each size of clips."""

NOISES = pa.schema([*STAGE, ("noise", TENSOR)])
"""One draw of warped noise, float16 [latent frames, channels, h, w], where asked for."""

STAGES = {
    "looks": LOOKS,
    "motion": MOTION,
    "plans": PLANS,
    "controls": CONTROLS,
    "texts": TEXTS,
    "hints": HINTS,
    "blanks": BLANKS,
    "latents": LATENTS,
    "noises": NOISES,
}
"""Tables of what is computed for a window. Each row is keyed by what decides it, so that clips share what they can."""

CLIPS = pa.schema(
    [
        ("key", pa.string()),
        ("fingerprint", pa.string()),
        *WINDOW,
        *OUTCOME,
        *((name, pa.string()) for name in STAGES),  # keys of the stages' rows; null where the clip has none
    ]
)
"""A row per window and settings: how it ended, and which rows of the stages make it up."""

MODELS = pa.schema(
    [
        ("key", pa.string()),
        ("name", pa.string()),
        ("kind", pa.string()),  # train | distill
        ("folder", pa.string()),  # below the store's root
        ("weights", pa.string()),  # sha256 of its weights, or of the list of its files
        ("config", pa.string()),  # the resolved job, JSON
        ("parent", pa.string()),  # key of the teacher
        ("steps", pa.int32()),
        (
            "history",
            pa.list_(pa.struct([("step", pa.int32()), ("metric", pa.string()), ("value", pa.float64())])),
        ),
        ("run", pa.string()),
        ("seconds", pa.float64()),
        ("created", pa.timestamp("us", tz="UTC")),
    ]
)

VIDEOS = pa.schema(
    [
        ("key", pa.string()),
        ("name", pa.string()),  # of the set of videos
        ("clip", pa.string()),  # key of the driving clip
        ("path", pa.string()),
        ("model", pa.string()),  # key of the model
        ("config", pa.string()),  # the resolved job, JSON
        *OUTCOME,
        ("file", pa.string()),  # below the store's root
        ("bytes", pa.int64()),
        ("sha256", pa.string()),
        ("fps", pa.float64()),
        ("frames", pa.int32()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("steps", pa.int32()),
    ]
)

METRICS = pa.schema(
    [
        ("key", pa.string()),
        ("name", pa.string()),  # of the set of videos
        ("video", pa.string()),  # key of the videos row
        ("clip", pa.string()),
        ("path", pa.string()),
        *OUTCOME,
        ("metric", pa.string()),
        ("value", pa.float64()),
    ]
)

SCHEMAS = {"manifest": MANIFEST, **STAGES, "clips": CLIPS, "models": MODELS, "videos": VIDEOS, "metrics": METRICS}


def to_tensor(array: np.ndarray) -> dict[str, Any]:
    """Return the stored form of an array of any shape and dtype, in C order."""
    return {"data": array.tobytes(), "shape": list(array.shape), "dtype": array.dtype.name}


def from_tensor(stored: dict[str, Any]) -> np.ndarray:
    """Return a read-only array over the stored bytes. Raises ValueError where bytes and shape disagree."""
    return np.frombuffer(stored["data"], dtype=np.dtype(stored["dtype"])).reshape(stored["shape"])
