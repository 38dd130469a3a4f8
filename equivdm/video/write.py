"""Writing videos frame by frame, for players and for archives."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Literal

import av
import numpy as np
from av.packet import Packet
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from jaxtyping import UInt8

from equivdm.arrays import Frames, Picture
from equivdm.errors import UnsupportedVideo
from equivdm.render_config import OutputConfig
from equivdm.video.sound import Sound
from equivdm.video.timing import Timing

_CODECS = {"h264": ("libx264", "yuv420p"), "h265": ("libx265", "yuv420p"), "lossless": ("ffv1", "bgr0")}
"""Encoder, and format of what it is given; yuv420p needs even sides."""

_OPTIONS = {
    # One thread and no macroblock tree: with it x264's AVX-512 code gives other bytes now and then. So the same
    # frames give the same file again on the same kind of CPU.
    "h264": {"x264-params": "mbtree=0"},
    "h265": {"x265-params": "pools=none:frame-threads=1:wpp=0:log-level=error"},
    # Every frame alone, with a checksum for each slice.
    "lossless": {"level": "3", "g": "1", "slices": "4", "slicecrc": "1"},
}

_SMALLEST_H265 = 96
"""Pixels along a side. For pictures of up to 64 columns x265 uses memory that is not its own, or not set."""


def check_codec(config: OutputConfig, size: tuple[int, int]) -> None:
    """Raise UnsupportedVideo for frames of a size (height, width) that the codec cannot have."""
    if config.codec == "h265" and min(size) + min(size) % 2 < _SMALLEST_H265:
        raise UnsupportedVideo(
            f"got {size[1]}x{size[0]} pixels, wanted at least {_SMALLEST_H265} a side for h265: take another codec"
        )


class VideoWriter:
    """A video that is written as its frames come. Where its `with` block raises, no file is left."""

    def __init__(
        self, path: str, config: OutputConfig, size: tuple[int, int], timing: Timing, audio_from: str | None = None
    ) -> None:
        """Say what is to be written.

        Args:
            path: file to write; it is replaced. Its name should end in `config.suffix`.
            config: codec, quality, and whether sound is wanted.
            size: (height, width) of the frames. For h264 and h265 an odd side is extended by repeating its last row or
                column.
            timing: when frames are shown.
            audio_from: the file whose sound is carried over; the one that `timing` is of.

        Raises:
            ValueError: for a size without pixels.
            UnsupportedVideo: for one that the codec cannot have.
        """
        if min(size) < 1:
            raise ValueError(f"got the size {size}: at least (1, 1)")
        check_codec(config, size)
        self._path, self._config, self._size, self._timing = path, config, size, timing
        self._audio_from = audio_from if config.audio else None
        self._count = 0
        self._lengths: dict[int, int] = {}
        self._held: Packet | None = None
        self._first_dts = 0

    @property
    def sound(self) -> Literal["none", "copied", "coded"]:
        """What became of the sound, once the writer is entered."""
        return self._sound.kind if self._sound else "none"

    def __enter__(self) -> "VideoWriter":
        """Open the files. Raises OSError where the one cannot be written, and what `Sound` raises for the other."""
        with ExitStack() as stack:
            self._container = stack.enter_context(
                av.open(self._path, "w", format=self._config.container, options=self._container_options())
            )
            self._stream = self._add_stream()
            self._sound = None
            if self._audio_from is not None:
                self._sound = Sound(self._audio_from, self._container, self._timing)
                stack.callback(self._sound.close)
            self._opened = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file, or remove it. Raises ValueError for fewer frames than there are times, or none."""
        whole = False
        try:
            with self._opened:
                if kind is None:
                    self._finish()
                    whole = True
        finally:
            if not whole:
                Path(self._path).unlink(missing_ok=True)

    def write(self, frames: UInt8[np.ndarray, "time _ _ 3"]) -> None:
        """Write frames after those before.

        Raises:
            ValueError: for frames of another size, or more than there are times.
            OSError: where the file cannot be written.
        """
        if frames.shape[1:3] != self._size:
            raise ValueError(f"got frames of {frames.shape[1:3]} pixels, wanted {self._size}")
        for frame in frames:
            self._check_count(self._count + 1)
            if self._sound is not None:
                self._sound.mux_until(self._timing.at(self._count) * self._timing.time_base)
            picture = _converted(frame, self._stream.pix_fmt or "")
            picture.pts, picture.time_base = self._timing.at(self._count), self._timing.time_base
            self._lengths[picture.pts] = self._timing.length(self._count)
            self._mux(self._stream.encode(picture))
            self._count += 1

    def _check_count(self, count: int) -> None:
        ticks = self._timing.ticks
        if ticks is not None and count > len(ticks):
            raise ValueError(f"got more than {len(ticks)} frames, as many as there are times")

    def _finish(self) -> None:
        wanted = 1 if self._timing.ticks is None else len(self._timing.ticks)
        if self._count < wanted:
            raise ValueError(f"got {self._count} frames, wanted {wanted}")
        packets = self._stream.encode()
        if self._config.codec == "h265" and self._count <= 2:
            # x265 has no decoding stamps for fewer frames than it reorders; so few are in their order.
            for packet in packets:
                packet.dts = packet.pts
        self._mux(packets)
        if self._held is not None:
            # Durations are stored in the order of decoding. Their sum is read as the video's; none may pass its end.
            end = self._timing.at(self._count - 1) + self._timing.length(self._count - 1)
            lacking = end - self._timing.at(0) - ((self._held.dts or 0) - self._first_dts)
            self._held.duration = min(max(self._held.duration or 0, lacking), end - (self._held.pts or 0))
            self._container.mux(self._held)
        if self._sound is not None:
            self._sound.mux_until(None)

    def _mux(self, packets: Iterable[Packet]) -> None:
        for packet in packets:
            # Encoders put frames in another order, and forget how long each is shown.
            packet.duration = self._lengths.pop(packet.pts or 0)
            if self._held is None:
                self._first_dts = packet.dts or 0
            else:
                self._container.mux(self._held)
            self._held = packet

    def _container_options(self) -> dict[str, str]:
        if self._config.container == "matroska":
            # Without, a file has a random number.
            return {"fflags": "+bitexact"}
        options = {"movflags": "+faststart"}
        if self._timing.ticks is not None:
            # The first frame's time is stored in ticks of the whole file; those of 1/1000 s would round it.
            options["movie_timescale"] = str(self._timing.time_base.denominator)
        return options

    def _add_stream(self) -> VideoStream:
        codec, form = _CODECS[self._config.codec]
        options = dict(_OPTIONS[self._config.codec])
        if self._config.codec == "lossless" and min(self._size) == 1:
            options["slices"] = "1"
        if self._config.codec != "lossless":
            options = {"crf": str(self._config.crf), "preset": self._config.preset, **options}
        stream = self._container.add_stream(codec, rate=self._timing.rate, options=options)
        assert isinstance(stream, VideoStream)
        even = form == "yuv420p"
        stream.height, stream.width = (side + side % 2 * even for side in self._size)
        stream.pix_fmt = form
        context = stream.codec_context
        context.time_base = self._timing.time_base
        context.thread_count = 1
        context.colorspace = 1 if form == "yuv420p" else 0
        context.color_primaries = 1
        context.color_trc = 1
        context.color_range = 1 if form == "yuv420p" else 2
        if self._config.codec == "h265":
            # Apple's players know no other name.
            context.codec_tag = "hvc1"
        return stream


def write_video(path: str, frames: Frames | Iterable[Picture], fps: float, crf: int = 18) -> None:
    """Write an H.264 mp4 (yuv420p, BT.709 marked, index at the front).

    yuv420p needs even sides: an odd one is extended by repeating its last row or column.

    Args:
        path: file to write; it is replaced.
        frames: at least one frame; an iterator is read as it is written, so that a long video need not be held.
        fps: frames a second; kept as a fraction with a denominator up to 1001, so 30000/1001 is exact.
        crf: 0 (lossless) to 51 (worst).

    Raises:
        ValueError: for no frames, a rate that is not positive, or a crf out of range.
        OSError: where the file cannot be written.
    """
    pictures: Iterator[Picture] = iter(frames)
    first = next(pictures, None)
    if first is None or fps <= 0 or not 0 <= crf <= 51:
        got = "no frame" if first is None else f"fps={fps}, crf={crf}"
        raise ValueError(f"got {got}: at least 1 frame, fps > 0, crf in 0..51")
    with VideoWriter(path, OutputConfig(crf=crf), first.shape[:2], Timing.at_rate(fps)) as writer:
        for picture in chain([first], pictures):
            writer.write(picture[None])


def _converted(frame: Picture, form: str) -> av.VideoFrame:
    if form != "yuv420p":
        return av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24").reformat(format=form)
    height, width = frame.shape[:2]
    even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
    return picture.reformat(format=form, dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
