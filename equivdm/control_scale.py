"""The dense condition of a video of any length: one scale for a whole shot, so that windows do not flicker."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import numpy as np
from jaxtyping import Int64

from equivdm.arrays import Frames
from equivdm.config import ControlConfig
from equivdm.control import Control, build_control, control_identity
from equivdm.relative_control import Maps, Relative, build_relative

_SHIFT = 12
"""Bits of a float32 that its bin does not know: 11 of the mantissa stay; a bin is at most 1/2048 of its value wide."""

_BINS = 1 << 32 - _SHIFT

_relative: Callable[[ControlConfig], Relative | None] = cast(
    Any, cache(build_relative)
)  # a process loads a network once


@dataclass
class Histogram:
    """Numbers counted in fixed bins: neither their order nor how they are chunked changes a bit."""

    counts: Int64[np.ndarray, " bins"] = field(default_factory=lambda: np.zeros(_BINS, np.int64))
    """By rising value; a bin holds the floats that share their leading bits."""

    def add(self, maps: Maps) -> None:
        """Count numbers."""
        bits = maps.ravel().view(np.int32)
        ordered = bits ^ (bits >> 31 & np.int32(0x7FFFFFFF))  # negative floats fall as their bits rise
        self.counts += np.bincount((ordered >> _SHIFT) + _BINS // 2, minlength=_BINS)

    def percentile(self, share: float) -> float:
        """Return what `numpy.percentile` does, but for half a bin. ValueError where nothing was counted."""
        below = np.cumsum(self.counts)
        if not below[-1]:
            raise ValueError("control: got no frame to scale by, wanted at least one: add the frames of the shot first")
        rank = share / 100 * (int(below[-1]) - 1)
        lower, upper = (_middle(int(np.searchsorted(below, end, side="right"))) for end in (int(rank), np.ceil(rank)))
        return lower + (upper - lower) * (rank - int(rank))


@dataclass
class ControlScale:
    """What the condition of a shot is scaled by, taken from its frames as they come.

    Each frame is added once, in any order and any chunks; `to_bytes` and `from_bytes` go on in another process.
    """

    config: ControlConfig
    histogram: Histogram = field(default_factory=Histogram)

    def add(self, frames: Frames) -> None:
        """Take frames in. Raises UsageError for a depth model that cannot be loaded."""
        if kind := _relative(self.config):
            self.histogram.add(kind.maps(frames))

    def to_bytes(self) -> bytes:
        """Return the scale as bytes, the same for equal scales."""
        places = np.flatnonzero(self.histogram.counts)
        table = np.stack([np.diff(places, prepend=0), self.histogram.counts[places]]).astype("<i8")
        return zlib.compress(self.config.model_dump_json().encode() + b"\n" + table.tobytes(), 1)

    @classmethod
    def from_bytes(cls, data: bytes) -> "ControlScale":
        """Return the scale that `to_bytes` wrote. ValueError for bytes that are damaged or something else."""
        try:
            config, _, table = zlib.decompress(data).partition(b"\n")
            steps, counts = np.frombuffer(table, "<i8").reshape(2, -1)
            scale = cls(ControlConfig.model_validate_json(config))
            scale.histogram.counts[np.cumsum(steps)] = counts
        except (zlib.error, ValueError, IndexError):
            raise ValueError(f"control: the {len(data)} bytes are no scale of a shot; take it anew") from None
        return scale


def control_scale(config: ControlConfig) -> ControlScale:
    """Return the scale of a shot of which no frame has been seen."""
    return ControlScale(config)


def scaled_control(config: ControlConfig, scale: ControlScale) -> Control:
    """Return what computes the condition of any frames of a shot, given the scale of all of them.

    Frames that windows share have the condition alike. Kinds without a scale are those of `build_control`.

    Raises:
        UsageError: for a depth model that cannot be loaded.
        ValueError: for a scale of another condition, or of no frame.
    """
    if control_identity(scale.config) != control_identity(config):
        raise ValueError(f"control: got the scale of {scale.config!r} for {config!r}: take it anew")
    kind = _relative(config)
    if kind is None:
        return build_control(config)
    found = kind.scale(scale.histogram.percentile)
    return lambda frames: kind.paint(frames, kind.maps(frames), found)


def _middle(place: int) -> float:
    """Return the middle of a bin, about."""
    ordered = (place - _BINS // 2 << _SHIFT) + (1 << _SHIFT - 1)
    bits = ordered ^ (ordered >> 31 & 0x7FFFFFFF)
    return float(np.array(bits, np.int64).astype(np.int32).view(np.float32))
