"""Motion vectors as files: Middlebury .flo, OpenEXR, .npz."""

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32

from equivdm.errors import BadFlow, UsageError

Direction = Literal["forward", "backward"]
Field = Float32[np.ndarray, "height width 2"]
"""Displacement (u, v) in pixels, x right, y down; NaN where it is not known."""

_UNKNOWN = 1e9
"""Middlebury's mark: a larger component says that the vector is not known."""


@dataclass(frozen=True)
class FlowSource:
    """The motion vectors of a whole video."""

    read: Callable[[Direction, int], Field]
    """Read a step of a direction: step k is between frames k and k + 1, its forward flow lies on the pixels of k, its
    backward flow on those of k + 1."""
    two_ways: bool
    """Whether there is backward flow."""
    steps: int | None = None
    """Number of steps; None where each is a file and they are not counted."""


def open_source(place: Path) -> FlowSource:
    """Open the vectors that lie at `NAME.flow` (a folder) or `NAME.flow.npz`.

    Raises:
        BadFlow: where there are none, or they cannot be read.
        UsageError: for OpenEXR files without the package OpenEXR.
    """
    if place.suffix == ".npz" and place.is_file():
        return _npz(place)
    if (place / "forward_00000.flo").is_file():
        two_ways = (place / "backward_00000.flo").is_file()
        return FlowSource(lambda direction, step: read_flo(place / f"{direction}_{step:05d}.flo"), two_ways)
    if (place / "frame_00000.exr").is_file():
        return _exr(place)
    raise BadFlow(
        f"{place} holds no motion vectors: wanted a folder with forward_00000.flo or frame_00000.exr, or an .npz"
    )


def read_flo(path: Path) -> Field:
    """Read a .flo file of the Middlebury benchmark: "PIEH", width and height as int32, (u, v) by rows, little-endian.

    Raises BadFlow for a file that is absent or something else.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadFlow(f"{path.name} cannot be read ({error.strerror}): wanted the vectors of every step") from error
    width, height = (int(n) for n in np.frombuffer(data[4:12].ljust(8, b"\0"), "<i4"))
    if data[:4] != b"PIEH" or min(width, height) < 1 or len(data) != 12 + 8 * width * height:
        raise BadFlow(
            f"{path.name}: got {len(data)} bytes, wanted a .flo of {width}x{height} vectors: replace the file"
        )
    vectors = np.frombuffer(data, "<f4", offset=12).reshape(height, width, 2).astype(np.float32)
    vectors[~(np.abs(vectors) <= _UNKNOWN).all(-1)] = np.nan
    return vectors


def _npz(place: Path) -> FlowSource:
    try:
        with np.load(place, allow_pickle=False) as file:
            fields: Mapping[str, np.ndarray] = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BadFlow(f"{place.name} cannot be read ({error}): replace the file") from error
    forward = fields.get("forward")
    for name, field in fields.items():
        plain = np.issubdtype(field.dtype, np.floating) and field.ndim == 4 and field.shape[3] == 2
        if name not in ("forward", "backward") or forward is None or not plain or field.shape != forward.shape:
            raise BadFlow(
                f"{place.name}: got {name!r} of {field.dtype} {field.shape}, wanted floats `forward`, and `backward` "
                "of the same shape if there is any, (steps, height, width, 2)"
            )
    if forward is None:
        raise BadFlow(f"{place.name}: got no array, wanted `forward` (steps, height, width, 2)")
    return FlowSource(lambda way, step: fields[way][step].astype(np.float32), "backward" in fields, len(forward))


def _exr(place: Path) -> FlowSource:
    try:
        import OpenEXR
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{place}: the package OpenEXR is not installed: pip install 'equivdm[exr]', or write .flo files"
        ) from error

    def channels(frame: int) -> Mapping[str, Any]:
        path = place / f"frame_{frame:05d}.exr"
        try:
            with OpenEXR.File(str(path), separate_channels=True) as file:
                return {name: channel.pixels for name, channel in file.channels().items()}
        except (RuntimeError, ValueError) as error:
            raise BadFlow(f"{path.name} cannot be read ({error}): wanted the vectors of every frame") from error

    def read(direction: Direction, step: int) -> Field:
        frame = step if direction == "forward" else step + 1
        found = channels(frame)
        names = [f"{direction}.u", f"{direction}.v"]
        if not set(names) <= found.keys():
            raise BadFlow(f"frame_{frame:05d}.exr: got the channels {sorted(found)}, wanted {' and '.join(names)}")
        return np.stack([found[name] for name in names], axis=-1).astype(np.float32)

    # The first frame has no frame before it; whether there is backward flow shows in the second.
    two_ways = (place / "frame_00001.exr").is_file() and "backward.u" in channels(1)
    return FlowSource(read, two_ways)
