"""Which decoded frames can be trusted.

FFmpeg decodes on through damage: it fills in what it cannot read, and most of its decoders mark no frame for it. What
they do instead is to log an error. Damage then spreads to all that is decoded later, up to the next key frame.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from av import AudioStream, CodecContext, VideoCodecContext, VideoFrame
from av import logging as av_logging
from av.codec.codec import UnknownCodecError
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream

Message = tuple[int, str, str]
"""Level, name of the demuxer or codec, text."""


@contextmanager
def ffmpeg_errors(copy: list[Message] | None = None) -> Iterator[list[Message]]:
    """A list that grows by each error that FFmpeg logs in this thread; a decoder's own threads would log elsewhere.

    `copy`, where given, has them all in the end.
    """
    _listen()
    with av_logging.Capture() as errors:
        try:
            yield errors
        finally:
            if copy is not None:
                copy += errors


@cache
def _listen() -> None:
    # PyAV hears nothing as it comes, and would drop a message that equals the last one of another file.
    av_logging.set_level(av_logging.ERROR)
    av_logging.set_skip_repeated(False)
    # What nobody captures stays as quiet as it was.
    logging.getLogger("libav").addHandler(logging.NullHandler())
    logging.getLogger("libav").propagate = False


def packets_of(container: InputContainer, stream: VideoStream | AudioStream) -> Iterator[Packet]:
    """The packets of a stream up to its end, or up to where the file breaks off; the last one is empty (flushes)."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except MemoryError:
            raise
        except (StopIteration, FFmpegError):
            return
        yield packet


def decoded(
    container: InputContainer,
    stream: VideoStream,
    errors: Sequence[Message],
    bad: Sequence[tuple[int, int]],
    *,
    jumped: bool,
) -> Iterator[VideoFrame | None]:
    """The frames of a stream in order of presentation, from where the container stands; None for what is damaged.

    Args:
        container: an open file.
        stream: one of its streams, not decoded yet.
        errors: of `ffmpeg_errors`, opened before the container.
        bad: (first byte, end) of parts of the file that are known to be damaged.
        jumped: the container does not stand at its start, so that frames may refer to others that are not read.
    """
    decoder, verdicts = _decoder(stream), _Verdicts(jumped)
    for packet in packets_of(container, stream):
        heard = len(errors)
        try:
            frames = decoder.decode(packet if packet.size else None)
        except MemoryError:
            raise
        except FFmpegError:
            frames, flawed = [], True
        else:
            place = packet.pos or 0
            flawed = packet.is_corrupt or len(errors) > heard or any(start <= place < end for start, end in bad)
        verdicts.hear(packet, flawed)
        if flawed:
            yield None
        for frame in frames:
            yield frame if verdicts.trusted(frame) else None


def _decoder(stream: VideoStream) -> VideoCodecContext:
    """The decoder that notices most, with one thread: its errors then belong to the packet that it was given."""
    own = stream.codec_context
    own.thread_count = 1
    # HEVC may carry a checksum of each picture (FFV1's are always looked at).
    own.options = {"err_detect": "crccheck"}
    if own.name != "vp9" or own.pix_fmt != "yuv420p":
        return own
    try:
        # Of damaged VP9, FFmpeg's own decoder reports next to nothing.
        thorough = CodecContext.create("libvpx-vp9", "r")
    except UnknownCodecError:
        return own
    assert isinstance(thorough, VideoCodecContext)
    thorough.thread_count = 1
    return thorough


class _Verdicts:
    """What can be trusted, told in the order of decoding, in which damage spreads.

    Frames that are decoded after a key frame and shown before it (an open group of pictures) refer to the group before
    as well; those shown after it do not, and not to them either.
    """

    def __init__(self, jumped: bool) -> None:
        self._whole = self._whole_before = not jumped
        self._key: int | None = None
        self._waiting: dict[int, bool] = {}

    def hear(self, packet: Packet, flawed: bool) -> None:
        if packet.is_keyframe:
            self._whole_before, self._whole, self._key = self._whole, True, packet.pts
        if flawed:
            self._taint(packet.pts)
        if packet.size and packet.pts is not None:
            self._waiting[packet.pts] = self._whole and (self._whole_before or not self._leads(packet.pts))
        elif flawed:
            # Nobody can say which of the frames on their way it was.
            self._waiting = dict.fromkeys(self._waiting, False)

    def trusted(self, frame: VideoFrame) -> bool:
        told = self._whole if frame.pts is None else self._waiting.pop(frame.pts, self._whole)
        if not frame.is_corrupt:
            return told
        self._taint(frame.pts)
        if not self._leads(frame.pts):
            self._waiting = dict.fromkeys(self._waiting, False)
        return False

    def _taint(self, pts: int | None) -> None:
        if self._leads(pts):
            self._whole_before = False
        else:
            self._whole = False

    def _leads(self, pts: int | None) -> bool:
        return pts is not None and self._key is not None and pts < self._key
