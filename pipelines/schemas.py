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

DRIVES = pa.schema(
    [
        ("key", pa.string()),
        ("content", pa.string()),  # hash of the file, and of what is read beside it
        ("source", pa.string()),  # where it lies
        ("path", pa.string()),  # below the source's root
        ("caption", pa.string()),
        ("metadata", pa.string()),
        ("frames", pa.int32()),
        ("height", pa.int32()),  # as displayed, in square pixels
        ("width", pa.int32()),
        ("fps", pa.float64()),
        ("shots", pa.list_(pa.int32())),  # first frame of each
        ("outcome", pa.string()),  # done | failed (probed again by the next run)
        ("attempt", pa.int32()),
        ("error", pa.string()),  # class of what kept it from being probed
        ("message", pa.string()),
        ("passing", pa.bool_()),  # whether that lies in the hour
        ("run", pa.string()),
    ]
)
"""A row per driving video, before any of it is rendered. `key` names the file's version."""

PART = [
    ("final", pa.bool_()),  # whether the failure is in the bytes: its video is given up at once
    ("passing", pa.bool_()),  # or lies in the hour: its video is not given up however often
]
"""What the failure of a shot or a window means for its video."""

SHOTS = pa.schema(
    [
        ("key", pa.string()),
        ("path", pa.string()),
        ("shot", pa.int32()),
        *OUTCOME,
        *PART,
    ]
)
"""A row per shot of a long driving video whose motion was followed. None is given up: its video is."""

STRANDS = pa.schema(
    [
        *STAGE,
        ("plan", pa.binary()),  # MotionPlan.to_bytes, of a piece of the shot
        ("state", pa.binary()),  # of the planner behind it
        ("scale", pa.binary()),  # of the dense condition, of all frames so far
        ("backward", TENSOR),  # float16 [steps, rows, columns, 2], at a part of the frames' size
        ("occluded", TENSOR),  # bool, likewise
    ]
)
"""The particles of a shot, piece by piece."""

SPANS = pa.schema(
    [
        ("key", pa.string()),
        ("path", pa.string()),
        ("shot", pa.int32()),
        ("start", pa.int32()),  # first frame, in the shot
        *OUTCOME,
        *PART,
    ]
)
"""A row per window of a long driving video that was sampled. None is given up: its video is."""

SAMPLES = pa.schema([*STAGE, ("latents", TENSOR)])
"""What was sampled for a window, float16 [channels, latent frames, h, w]."""

VIDEOS = pa.schema(
    [
        ("key", pa.string()),
        ("name", pa.string()),  # of the set of videos
        ("clip", pa.string()),  # key of the driving clip; null where a whole video was rendered
        ("path", pa.string()),
        ("content", pa.string()),  # of the driving video; null where clips were rendered
        ("caption", pa.string()),  # that a whole video was rendered with
        ("windows", pa.int32()),  # that it was sampled in, likewise
        ("metrics", pa.list_(pa.struct([("metric", pa.string()), ("value", pa.float64())]))),  # found meanwhile
        ("model", pa.string()),  # key of the model
        ("weights", pa.string()),  # sha256 of its weights
        ("seed", pa.int64()),
        ("config", pa.string()),  # the resolved job, JSON
        *OUTCOME,
        ("file", pa.string()),  # below the store's root
        ("bytes", pa.int64()),
        ("sha256", pa.string()),
        ("sound", pa.string()),  # none | copied | coded
        ("fps", pa.float64()),
        ("frames", pa.int32()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("steps", pa.int32()),
    ]
)

PROBES = pa.schema(
    [
        ("key", pa.string()),
        ("content", pa.string()),  # hash of the file
        ("source", pa.string()),  # where it lies
        ("path", pa.string()),  # below the source's root
        ("caption", pa.string()),
        ("frames", pa.int32()),
        ("height", pa.int32()),  # as displayed, in square pixels
        ("width", pa.int32()),
        ("fps", pa.float64()),
        ("outcome", pa.string()),  # done | failed (probed again by the next run)
        ("attempt", pa.int32()),
        ("error", pa.string()),  # class of what kept it from being probed
        ("message", pa.string()),
        ("passing", pa.bool_()),  # whether that lies in the hour
        ("run", pa.string()),
    ]
)
"""A row per video that an evaluation reads and that was not made here. `key` names the file's version."""

METRICS = pa.schema(
    [
        ("key", pa.string()),
        ("name", pa.string()),  # of the set or system that it was first measured for
        ("video", pa.string()),  # key of the videos row, where it was rendered here
        ("clip", pa.string()),  # names what drove it
        ("path", pa.string()),
        *OUTCOME,
        ("metric", pa.string()),  # null where the video could not be measured at all
        ("value", pa.float64()),  # null of features, which have a row of their own
        ("length", pa.int32()),  # frames that were measured
    ]
)
"""A row per video and metric, or features for metrics of whole sets. `key` names all that decides the value."""

FEATURES = pa.schema([*STAGE, ("features", TENSOR)])
"""What a network sees in a video's frames, float32 [rows, features]: metrics of whole sets compare them."""

TRIALS = pa.schema(
    [
        ("key", pa.string()),
        ("path", pa.string()),  # what it is, in words
        ("kind", pa.string()),  # model | measurement
        ("experiment", pa.string()),  # of a measurement
        ("seed", pa.int64()),
        ("spec", pa.string()),  # of the model, or of the experiment, JSON
        *OUTCOME,
        ("file", pa.string()),  # a model's weights, below the store's root
        ("bytes", pa.int64()),
        ("sha256", pa.string()),
        ("machine", pa.string()),  # what computed it
        ("notes", pa.list_(pa.string())),  # what a measurement left out, and why
        ("variant", pa.string()),
        ("x", pa.float64()),  # place on the experiment's axis
        ("metric", pa.string()),
        ("clip", pa.int32()),  # number of the held-out clip; null for what is measured of all at once
        ("value", pa.float64()),
    ]
)
"""A row per model of an experiment, and a row per number that was measured; all of one measurement share its key."""

FOOTAGE = pa.schema(
    [
        *STAGE,
        (
            "videos",
            pa.list_(pa.struct([("variant", pa.string()), ("clip", pa.int32()), ("frames", TENSOR)])),
        ),  # uint8 [frames, height, width, 3]
    ]
)
"""A few videos of a measurement, under its key."""

SCHEMAS = {
    "manifest": MANIFEST,
    **STAGES,
    "clips": CLIPS,
    "models": MODELS,
    "drives": DRIVES,
    "shots": SHOTS,
    "strands": STRANDS,
    "spans": SPANS,
    "samples": SAMPLES,
    "videos": VIDEOS,
    "probes": PROBES,
    "metrics": METRICS,
    "features": FEATURES,
    "trials": TRIALS,
    "footage": FOOTAGE,
}


def to_tensor(array: np.ndarray) -> dict[str, Any]:
    """Return the stored form of an array of any shape and dtype, in C order."""
    return {"data": array.tobytes(), "shape": list(array.shape), "dtype": array.dtype.name}


def from_tensor(stored: dict[str, Any]) -> np.ndarray:
    """Return a read-only array over the stored bytes. Raises ValueError where bytes and shape disagree."""
    return np.frombuffer(stored["data"], dtype=np.dtype(stored["dtype"])).reshape(stored["shape"])
