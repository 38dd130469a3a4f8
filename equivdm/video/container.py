"""What a container says about its video, read by demuxing; only one frame is decoded."""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from av import VideoFrame
from av import open as av_open
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream
from jaxtyping import Int64

from equivdm.errors import DamagedVideo, NotAVideo

_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,flv,mpegts,mpeg,mpegvideo,ogg,asf,mxf,h264,hevc,obu,ivf,m4v,"
    "yuv4mpegpipe,nut,dv,swf,rm"
)
"""Containers that are read. FFmpeg would also open playlists, which name other files and hosts, and draw text files."""

_TURNS = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
"""Where the picture's rightward axis points on the display after 0, 1, 2, 3 clockwise quarter turns."""


@dataclass(frozen=True)
class Layout:
    """The default video stream of a file. Frame i is the i-th in order of presentation."""

    stream: int
    """Index in the container."""
    height: int
    """Rows as stored, before any turn."""
    width: int
    """Columns as stored."""
    aspect: float
    """Width of a stored pixel over its height."""
    turns: int
    """Clockwise quarter turns that bring a stored picture upright, after `mirrored`."""
    mirrored: bool
    """The display matrix swaps left and right of the stored picture."""
    plain: bool
    """8 bits, progressive, not mirrored, stamped, closed: where decord and PyAV give the same bytes (see decode.py)."""
    fps: float
    """Average rate."""
    time_base: Fraction
    """Seconds per tick."""
    ticks: Int64[np.ndarray, " frames"]
    """Time stamps of the frames, rising."""
    stamped: bool
    """Every packet has a presentation stamp; if not, `ticks` are decoding stamps and frames go by their count."""
    keys: tuple[tuple[int, int], ...]
    """(presentation, decoding) stamp of each key frame."""

    @property
    def upright_aspect(self) -> float:
        """Width of a pixel of the upright picture over its height."""
        return self.aspect if self.turns % 2 == 0 else 1 / self.aspect


def read_layout(path: str) -> Layout:
    """Return the layout of a file's default video stream.

    Raises:
        OSError: where the file cannot be read.
        NotAVideo: for an empty or foreign file, or one without a video stream.
        DamagedVideo: where frames that the header promises are missing, or none can be decoded.
    """
    status = os.stat(path)
    if status.st_size == 0:
        raise NotAVideo(f"{os.path.basename(path)} is empty: replace the file")
    return _read_layout(path, status.st_size, status.st_mtime_ns)


@contextmanager
def open_container(path: str) -> Iterator[InputContainer]:
    """Open a local video file with PyAV, and nothing that it may refer to."""
    limits = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
    try:
        container = av_open(path, container_options=limits)
    except MemoryError:
        raise
    except FFmpegError as error:
        name = os.path.basename(path)
        raise NotAVideo(f"{name} is no video that FFmpeg can open ({error.strerror}): replace the file") from error
    with container:
        yield container


def decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame | None]:
    """The frames of a stream in order of presentation, from where the container stands; None for what is damaged.

    FFmpeg marks the frame where it met damage and goes on; what follows refers to that frame and is as wrong without a
    mark. So everything up to the next key frame counts as damaged.
    """
    intact = True
    for packet in _packets(container, stream):
        try:
            frames = packet.decode()
        except MemoryError:
            raise
        except FFmpegError:
            intact = False
            yield None
            continue
        for frame in frames:
            assert isinstance(frame, VideoFrame)
            intact = not frame.is_corrupt and (intact or frame.key_frame)
            yield frame if intact else None


def numbered(path: str, layout: Layout, start: int | None = None) -> Generator[tuple[int, VideoFrame]]:
    """Frames of a file with their numbers, rising from a decoding stamp or the start; damaged frames leave gaps.

    Where packets have no stamps, frames go by their count, so that the first damage ends them.
    """
    number_of = {int(tick): number for number, tick in enumerate(layout.ticks)}
    with open_container(path) as container:
        stream = container.streams[layout.stream]
        assert isinstance(stream, VideoStream)
        stream.codec_context.thread_count = 1
        if start is not None:
            # A container that cannot jump stands at its start.
            with suppress(FFmpegError):
                container.seek(start, stream=stream)
        for count, frame in enumerate(decoded(container, stream)):
            if frame is None and not layout.stamped:
                return
            if frame is None:
                continue
            number = number_of.get(frame.pts, -1) if layout.stamped and frame.pts is not None else count
            if number >= 0:
                yield number, frame


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """The packets of a stream up to its end, or up to where the file breaks off; the last one is empty (flushes)."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, FFmpegError):
            return
        yield packet


# Every window of a video asks for the same layout; the size and the time of change are there to notice a new file.
@lru_cache(maxsize=8)
def _read_layout(path: str, size: int, changed: int) -> Layout:
    del size, changed
    name = os.path.basename(path)
    with open_container(path) as container:
        stream = container.streams.best("video")
        if not isinstance(stream, VideoStream):
            raise NotAVideo(f"{name} has no video stream: leave it out")
        # One thread: a damaged packet then costs its own frame only, and a task keeps to the CPU that it reserved.
        stream.codec_context.thread_count = 1
        packets, first = _scan(container, stream)
        count = len(packets)
        if count < stream.frames:
            raise DamagedVideo(f"{name} holds {count} of the {stream.frames} frames that its header promises")
        if first is None:
            raise DamagedVideo(f"0 of {count} frames of {name} could be decoded")
        return _layout(stream, [packet for packet in packets if not packet.discard], first)


@dataclass(frozen=True)
class _Stamp:
    """What a layout needs of a packet, without its data."""

    pts: int | None
    dts: int | None
    key: bool
    discard: bool


def _scan(container: InputContainer, stream: VideoStream) -> tuple[list[_Stamp], VideoFrame | None]:
    """Stamps of all packets, and the first frame that can be decoded."""
    stamps: list[_Stamp] = []
    first: VideoFrame | None = None
    for packet in _packets(container, stream):
        if first is None:
            first = _first_frame(packet)
        if packet.size:
            stamps.append(_Stamp(packet.pts, packet.dts, packet.is_keyframe, packet.is_discard))
    return stamps, first


def _first_frame(packet: Packet) -> VideoFrame | None:
    try:
        return next((frame for frame in packet.decode() if isinstance(frame, VideoFrame)), None)
    except FFmpegError:
        return None


def _layout(stream: VideoStream, stamps: list[_Stamp], first: VideoFrame) -> Layout:
    stamped = all(stamp.pts is not None for stamp in stamps)
    times = [stamp.pts if stamped else stamp.dts for stamp in stamps]
    rate = float(stream.average_rate or stream.guessed_rate or 25)
    time_base = stream.time_base or Fraction(1, 90000)
    step = max(1, round(1 / (rate * time_base)))
    # A raw stream has no stamps at all: its frames are one period apart.
    ticks = np.sort([index * step if time is None else time for index, time in enumerate(times)]).astype(np.int64)
    turns, mirrored = _orientation(first)
    bits = max(component.bits for component in first.format.components)
    aspect = stream.sample_aspect_ratio
    return Layout(
        stream=stream.index,
        height=first.height,
        width=first.width,
        aspect=float(aspect) if aspect else 1.0,
        turns=turns,
        mirrored=mirrored,
        plain=stamped and bits <= 8 and not first.interlaced_frame and not mirrored and not _leads(stamps),
        fps=rate,
        time_base=time_base,
        ticks=ticks,
        stamped=stamped,
        keys=tuple((s.pts, s.dts) for s in stamps if s.key and s.pts is not None and s.dts is not None),
    )


def _leads(stamps: list[_Stamp]) -> bool:
    """Say whether a frame that is stored after a key frame is shown before it, as in an open group of pictures."""
    shown = None
    for stamp in stamps:
        if stamp.key:
            shown = stamp.pts
        elif shown is not None and stamp.pts is not None and stamp.pts < shown:
            return True
    return False


def _orientation(frame: VideoFrame) -> tuple[int, bool]:
    """Clockwise quarter turns and mirroring of the display matrix; frame.rotation knows no mirroring."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 0, False
    a, b, _, c, d = np.frombuffer(data, np.int32)[:5].astype(np.float64) / 65536
    mirrored = bool(a * d - b * c < 0)
    right = np.array([-a, -b] if mirrored else [a, b])
    return int(np.argmax(_TURNS @ right)), mirrored
