"""What a container's packets say of time, and where they contradict its header."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av import VideoFrame
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream
from jaxtyping import Int64

from equivdm.errors import DamagedVideo, Truncated
from equivdm.video.soundness import packets_of

_REORDER = 32
"""Frames may be stored so many places from where they are shown; 16 in H.264 and HEVC, each perhaps as two fields."""

_SLACK_S = 0.5
"""The last frame may start so long before the stated end, or two frames: durations are rounded, and cover sound."""


@dataclass(frozen=True)
class Stamp:
    """What a layout needs of a packet, without its data."""

    pts: int | None
    dts: int | None
    duration: int
    key: bool
    discard: bool


def scan(container: InputContainer, stream: VideoStream) -> tuple[list[Stamp], VideoFrame | None]:
    """Stamps of all packets, and the first frame that can be decoded."""
    stamps: list[Stamp] = []
    first: VideoFrame | None = None
    for packet in packets_of(container, stream):
        if first is None:
            first = _first_frame(packet)
        if packet.size:
            stamps.append(Stamp(packet.pts, packet.dts, packet.duration or 0, packet.is_keyframe, packet.is_discard))
    return stamps, first


def _first_frame(packet: Packet) -> VideoFrame | None:
    try:
        return next((frame for frame in packet.decode() if isinstance(frame, VideoFrame)), None)
    except MemoryError:
        raise
    except FFmpegError:
        return None


def refuse_jumps(name: str, stored: Int64[np.ndarray, " frames"], time_base: Fraction) -> None:
    """Refuse stamps that start again, as in recordings stuck together: in their order the parts would mix."""
    moved = np.abs(np.argsort(stored, kind="stable") - np.arange(len(stored)))
    if len(stored) and moved.max() > _REORDER:
        place = int(np.argmin(np.diff(stored)))
        before, after = (float(stored[place + k] * time_base) for k in range(2))
        raise DamagedVideo(
            f"the time stamps of {name} jump back from {before:.3f} to {after:.3f} s after frame {place}: "
            "write it anew with stamps that rise"
        )


def refuse_short(name: str, container: InputContainer, stream: VideoStream, stamps: Sequence[Stamp]) -> None:
    """Refuse a file with fewer frames, or a shorter time, than its header promises."""
    count = len(stamps)
    if count < stream.frames:
        raise Truncated(f"{name} holds {count} of the {stream.frames} frames that its header promises")
    stated = _stated_end(container, stream)
    end = max((stamp.pts + stamp.duration for stamp in stamps if stamp.pts is not None), default=None)
    if stated is None or end is None or stream.time_base is None:
        return
    last = float(end * stream.time_base)
    if stated - last > max(_SLACK_S, 2 / float(stream.average_rate or 25)):
        raise Truncated(f"{name} ends at {last:.3f} s of the {stated:.3f} s that its header promises")


def _stated_end(container: InputContainer, stream: VideoStream) -> float | None:
    """Seconds at which the video ends by its header; None where FFmpeg's figure may be its own estimate, or sound's."""
    if "matroska" not in container.format.name:
        return None
    if tag := stream.metadata.get("DURATION"):
        hours, minutes, seconds = tag.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    alone = len(container.streams) == 1
    return container.duration / 1e6 if alone and container.duration else None


def last_duration(container: InputContainer, stream: VideoStream, stamps: Sequence[Stamp], step: int) -> int:
    """Ticks for which the last frame is shown; those of an average one where the file does not say."""
    shown = [stamp for stamp in stamps if stamp.pts is not None]
    if not shown or stream.time_base is None:
        return step
    last = max(shown, key=lambda stamp: stamp.pts or 0)
    place = last.pts or 0
    stated, own = _stated_end(container, stream), last.duration
    if stated is not None:
        own = round(Fraction(stated) / stream.time_base) - place
    elif "mp4" in container.format.name and stream.duration is not None:
        # Its durations belong to places in the order of decoding, not to frames.
        own = (stream.start_time or 0) + stream.duration - place
    return own if own > 0 else step
