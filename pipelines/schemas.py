"""Every table's schema, and the one form in which tensors are stored.

A tensor is `struct<data: binary, shape: list<int32>, dtype: string>`: plain Parquet that any reader understands (Arrow
extension types do not survive Delta Lake). `pipelines` holds tensors on the host as numpy arrays.
"""

from typing import Any

import numpy as np
import pyarrow as pa

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
    ("video", pa.string()),  # content id of the source
    ("source", pa.string()),  # where it lies
    ("path", pa.string()),  # below the source's root
    ("window", pa.int32()),  # -1: the video could not be probed, or is too short for a window
    ("indices", pa.list_(pa.int32())),  # its frames in the source
    ("fps", pa.float64()),
    ("source_frames", pa.int32()),
    ("caption", pa.string()),
]

MANIFEST = pa.schema(
    [
        ("key", pa.string()),
        *WINDOW,
        ("metadata", pa.string()),  # JSON, of the source's own manifest
        ("layout", pa.string()),
        ("run", pa.string()),
    ]
)
"""A row per window of a video, before any is computed. `key` names the file's version and the layout of windows."""

CLIPS = pa.schema(
    [
        ("key", pa.string()),
        ("fingerprint", pa.string()),
        *WINDOW,
        *OUTCOME,
        ("frames", pa.int32()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("tokens", pa.list_(pa.int64())),
        ("forward", TENSOR),  # float16 [frames - 1, height, width, 2], pixels
        ("backward", TENSOR),
        ("occluded_forward", TENSOR),  # bool [frames - 1, height, width]
        ("occluded_backward", TENSOR),
        ("control", TENSOR),  # uint8 [frames, height, width]
        ("latents", TENSOR),  # float16 [channels, latent frames, h, w]
        ("plan", pa.binary()),  # MotionPlan.to_bytes
        ("noise", TENSOR),  # float16 [latent frames, channels, h, w], where asked for
    ]
)

MODELS = pa.schema(
    [
        ("key", pa.string()),
        ("name", pa.string()),
        ("kind", pa.string()),  # train | distill
        ("folder", pa.string()),  # below the store's root
        ("weights", pa.string()),  # sha256 of model.safetensors
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

SCHEMAS = {"manifest": MANIFEST, "clips": CLIPS, "models": MODELS, "videos": VIDEOS, "metrics": METRICS}


def to_tensor(array: np.ndarray) -> dict[str, Any]:
    """Return the stored form of an array of any shape and dtype, in C order."""
    return {"data": array.tobytes(), "shape": list(array.shape), "dtype": array.dtype.name}


def from_tensor(stored: dict[str, Any]) -> np.ndarray:
    """Return a read-only array over the stored bytes. Raises ValueError where bytes and shape disagree."""
    return np.frombuffer(stored["data"], dtype=np.dtype(stored["dtype"])).reshape(stored["shape"])
