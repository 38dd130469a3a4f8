"""What a container says about its video, read by demuxing; only one frame is decoded."""

import os
import stat
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from av import VideoFrame
from av import open as av_open
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream
from jaxtyping import Int64

from equivdm.errors import (
    DamagedVideo,
    EmptyFile,
    ItemError,
    NotAVideo,
    NoVideoStream,
    Truncated,
    UnsupportedVideo,
)
from equivdm.video.matroska import checksum_failures
from equivdm.video.soundness import Message, decoded, ffmpeg_errors
from equivdm.video.stamps import Stamp, last_duration, refuse_jumps, refuse_short, scan

_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,flv,mpegts,mpeg,mpegvideo,ogg,asf,mxf,h264,hevc,obu,ivf,m4v,"
    "yuv4mpegpipe,nut,dv,swf,rm"
)
"""Containers that are read. FFmpeg would also open playlists, which name other files and hosts, and draw text files."""

_CUT_FROM_STREAMS = {"mpegts", "mpeg"}
"""Formats whose clock shows any time where a recording starts."""

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
    fps: float
    """Average rate."""
    time_base: Fraction
    """Seconds per tick."""
    ticks: Int64[np.ndarray, " frames"]
    """Time stamps of the frames, rising; some may be equal where `stamped` is false."""
    stamped: bool
    """Every packet has a presentation stamp of its own; if not, frames go by their count."""
    keys: tuple[tuple[int, int], ...]
    """(presentation, decoding) stamp of each key frame."""
    bad: tuple[tuple[int, int], ...]
    """(first byte, end) of parts of the file whose checksum fails."""
    last: int
    """Ticks for which the last frame is shown."""
    origin: Fraction
    """Seconds at which the file starts by its own clock; 0 but for formats that are cut from streams."""
    sound: bool
    """Whether there is a stream of sound."""

    @property
    def upright_aspect(self) -> float:
        """Width of a pixel of the upright picture over its height."""
        return self.aspect if self.turns % 2 == 0 else 1 / self.aspect


def read_layout(path: str) -> Layout:
    """Return the layout of a file's default video stream.

    Raises:
        OSError: where the file cannot be read.
        NotAVideo: for a foreign file; EmptyFile, NoVideoStream for one without bytes, or without pictures.
        UnsupportedVideo: for a codec that FFmpeg here does not know.
        DamagedVideo: where none of the frames can be decoded, or the container is broken or contradicts itself;
            Truncated where it holds less than its header promises.
    """
    status = os.stat(path)
    name = os.path.basename(path)
    if not stat.S_ISREG(status.st_mode):
        raise NotAVideo(f"{name} is no regular file (a folder, pipe or device): name the video's file")
    if status.st_size == 0:
        raise EmptyFile(f"{name} is empty: replace the file")
    return _read_layout(path, status.st_size, status.st_mtime_ns)


@contextmanager
def open_container(path: str, errors: Sequence[Message]) -> Iterator[InputContainer]:
    """Open a local video file with PyAV, and nothing that it may refer to. `errors` is the list of `ffmpeg_errors`."""
    limits = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
    try:
        container = av_open(path, container_options=limits)
    except MemoryError:
        raise
    except FFmpegError as error:
        reason = errors[-1][2].strip() if errors else str(error.strerror)
        raise _unreadable(path, reason) from error
    with container:
        yield container


def numbered(
    path: str, layout: Layout, start: int | None = None, said: list[Message] | None = None
) -> Generator[tuple[int, VideoFrame]]:
    """Sound frames of a file with their numbers, rising from a decoding stamp or the start; damaged ones leave gaps.

    Where packets have no stamps of their own, frames go by their count, so that the first damage ends them. `said`
    gets the errors that FFmpeg logged.
    """
    number_of = {int(tick): number for number, tick in enumerate(layout.ticks)}
    with ffmpeg_errors(said) as errors, open_container(path, errors) as container:
        stream = container.streams[layout.stream]
        assert isinstance(stream, VideoStream)
        if start is not None:
            # A container that cannot jump stands at its start.
            with suppress(FFmpegError):
                container.seek(start, stream=stream)
        for count, frame in enumerate(decoded(container, stream, errors, layout.bad, jumped=start is not None)):
            if frame is None and not layout.stamped:
                return
            if frame is None:
                continue
            number = count if not layout.stamped else number_of.get(-1 if frame.pts is None else frame.pts, -1)
            if 0 <= number < len(layout.ticks):
                yield number, frame


def _unreadable(path: str, reason: str) -> ItemError:
    """Tell a video that lost its index or header from what never was one, by the first bytes."""
    name = os.path.basename(path)
    with open(path, "rb") as file:
        head = file.read(12)
    if head[4:8] == b"ftyp" and "moov atom not found" in reason:
        return Truncated(f"{name} ends before its index ({reason}): copy or record it again")
    if head[4:8] == b"ftyp" or head[:4] == b"\x1a\x45\xdf\xa3" or (head[:4], head[8:]) == (b"RIFF", b"AVI "):
        return DamagedVideo(f"{name} begins like a video, but FFmpeg cannot open it ({reason}): replace the file")
    return NotAVideo(f"{name} is no video that FFmpeg can open ({reason}): replace the file")


# Every window of a video asks for the same layout; the size and the time of change are there to notice a new file.
@lru_cache(maxsize=8)
def _read_layout(path: str, size: int, changed: int) -> Layout:
    del size, changed
    name = os.path.basename(path)
    with ffmpeg_errors() as errors, open_container(path, errors) as container:
        stream = container.streams.best("video")
        if not isinstance(stream, VideoStream):
            raise NoVideoStream(f"{name} has no video stream: leave it out")
        # PyAV has no codec for a stream that it cannot decode, whatever its types say.
        if stream.codec_context is None:
            raise UnsupportedVideo(f"{name} is coded in a way that FFmpeg here cannot decode: convert it")
        stream.codec_context.thread_count = 1
        stamps, first = scan(container, stream)
        refuse_short(name, container, stream, stamps)
        _refuse_broken(name, container, errors)
        if first is None:
            raise DamagedVideo(f"0 of {len(stamps)} frames of {name} could be decoded")
        matroska = "matroska" in container.format.name
        headers, bad = checksum_failures(path) if matroska else ([], [])
        if headers:
            raise DamagedVideo(f"the checksum of {', '.join(headers)} in {name} is wrong: replace the file")
        return _layout(name, container, stream, [stamp for stamp in stamps if not stamp.discard], first, bad)


def _refuse_broken(name: str, container: InputContainer, errors: Sequence[Message]) -> None:
    """Refuse what the demuxer could not follow: it skips what it does not understand, and frames with it."""
    said = [text.strip() for _, source, text in errors if source == container.format.name]
    short = [text for text in said if "ended prematurely" in text or "partial file" in text]
    if short:
        raise Truncated(f"{name} ends too early ({short[0]}): copy or record it again")
    if said:
        raise DamagedVideo(f"the container of {name} is broken ({said[0]}): replace the file")


def _layout(
    name: str,
    container: InputContainer,
    stream: VideoStream,
    stamps: list[Stamp],
    first: VideoFrame,
    bad: list[tuple[int, int]],
) -> Layout:
    shown = [stamp.pts for stamp in stamps if stamp.pts is not None]
    complete = len(shown) == len(stamps)
    times = shown if complete else [stamp.dts for stamp in stamps]
    rate = float(stream.average_rate or stream.guessed_rate or 25)
    time_base = stream.time_base or Fraction(1, 90000)
    step = max(1, round(1 / (rate * time_base)))
    # A raw stream has no stamps at all: its frames are one period apart.
    stored = np.array([index * step if time is None else time for index, time in enumerate(times)], np.int64)
    refuse_jumps(name, stored, time_base)
    turns, mirrored = _orientation(first)
    streamed = container.format.name in _CUT_FROM_STREAMS
    aspect = stream.sample_aspect_ratio
    return Layout(
        stream=stream.index,
        height=first.height,
        width=first.width,
        aspect=float(aspect) if aspect else 1.0,
        turns=turns,
        mirrored=mirrored,
        fps=rate,
        time_base=time_base,
        ticks=np.sort(stored),
        stamped=complete and len(set(shown)) == len(shown),
        keys=tuple((s.pts, s.dts) for s in stamps if s.key and s.pts is not None and s.dts is not None),
        bad=tuple(bad),
        last=last_duration(container, stream, stamps, step),
        origin=Fraction(container.start_time or 0, 10**6) if streamed else Fraction(0),
        sound=bool(container.streams.audio),
    )


def _orientation(frame: VideoFrame) -> tuple[int, bool]:
    """Clockwise quarter turns and mirroring of the display matrix; frame.rotation knows no mirroring."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 0, False
    a, b, _, c, d = np.frombuffer(data, np.int32)[:5].astype(np.float64) / 65536
    mirrored = bool(a * d - b * c < 0)
    right = np.array([-a, -b] if mirrored else [a, b])
    return int(np.argmax(_TURNS @ right)), mirrored
