"""The sound of a video on its way into another file: copied where that can hold it, or coded anew as AAC."""

from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from typing import Literal

from av import AudioFrame, AudioStream
from av.audio.codeccontext import AudioCodecContext
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet

from equivdm.video.container import open_container
from equivdm.video.soundness import ffmpeg_errors, packets_of
from equivdm.video.timing import Timing

_MP4 = {"aac", "mp3", "ac3", "eac3", "alac", "flac", "opus"}
"""What players know in an mp4."""

_AAC_RATES = {96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}
_AAC_LAYOUTS = {"mono", "stereo", "3.0", "4.0", "5.0", "5.1", "7.1"}
_BITS_PER_CHANNEL = 96_000


class Sound:
    """The default stream of sound of a file, muxed into another little by little, beside its pictures."""

    def __init__(self, source: str, target: OutputContainer, timing: Timing) -> None:
        """Open the source and add a stream to the target.

        Args:
            source: a video with or without sound.
            target: an mp4 or Matroska file whose header is not written yet.
            timing: where tick 0 and the end are by the source's clock.

        Raises:
            OSError, NotAVideo, DamagedVideo: where the source cannot be opened.
        """
        self.kind: Literal["none", "copied", "coded"] = "none"
        self._timing = timing
        # A Matroska block cannot be before 0: the first picture would be moved instead.
        self._cuts = timing.end is not None or "matroska" in target.format.name
        self._target = target
        self._packets: Iterator[tuple[Fraction, Packet]] = iter(())
        self._next: tuple[Fraction, Packet] | None = None
        with ExitStack() as stack:
            with ffmpeg_errors() as errors:
                container = stack.enter_context(open_container(source, errors))
            stream = container.streams.best("audio")
            # PyAV has no codec for a stream that it cannot decode: such sound is left out.
            if isinstance(stream, AudioStream) and stream.codec_context is not None:
                self._add(container, stream)
            self._opened = stack.pop_all()

    def mux_until(self, seconds: Fraction | None) -> None:
        """Mux what begins before a time, counted from tick 0; all that is left where none is given."""
        while self._next is not None and (seconds is None or self._next[0] < seconds):
            self._target.mux(self._next[1])
            self._next = next(self._packets, None)

    def close(self) -> None:
        """Close the source."""
        self._opened.close()

    def _add(self, container: InputContainer, stream: AudioStream) -> None:
        codec = stream.codec_context.codec
        held = self._target.supported_codecs if "matroska" in self._target.format.name else _MP4
        copied = not held.isdisjoint({codec.name, codec.canonical_name})
        if copied:
            added = self._target.add_stream_from_template(stream)
            self._packets = self._copied(container, stream, added)
        else:
            added = _aac_stream(self._target, stream.codec_context)
            self._packets = self._coded(container, stream, added)
        self.kind = "copied" if copied else "coded"
        self._next = next(self._packets, None)

    def _wanted(self, container: InputContainer, stream: AudioStream) -> Iterator[tuple[Fraction, Packet]]:
        """Packets of the time that is wanted, their stamps counted from tick 0, and when they begin in seconds."""
        base = stream.time_base or Fraction(1, stream.codec_context.rate)
        shift = round(self._timing.origin / base)
        for packet in packets_of(container, stream):
            place = packet.dts if packet.pts is None else packet.pts
            if not packet.size or place is None:
                continue
            if self._timing.end is not None and place * base >= self._timing.end:
                return
            packet.pts, packet.dts = place - shift, None if packet.dts is None else packet.dts - shift
            if packet.pts >= 0 or not self._cuts:
                yield packet.pts * base, packet

    def _copied(
        self, container: InputContainer, stream: AudioStream, added: AudioStream
    ) -> Iterator[tuple[Fraction, Packet]]:
        for seconds, packet in self._wanted(container, stream):
            packet.stream = added
            yield seconds, packet

    def _coded(
        self, container: InputContainer, stream: AudioStream, added: AudioStream
    ) -> Iterator[tuple[Fraction, Packet]]:
        seconds = Fraction(0)
        for seconds, packet in self._wanted(container, stream):
            for frame in _frames(stream, packet):
                yield from ((seconds, coded) for coded in added.encode(frame))
        for frame in [*_frames(stream, None), None]:
            yield from ((seconds, coded) for coded in added.encode(frame))


def _frames(stream: AudioStream, packet: Packet | None) -> list[AudioFrame]:
    """The sound of a packet, or what is left in the decoder; nothing where it is damaged, as players do."""
    try:
        return stream.codec_context.decode(packet)
    except MemoryError:
        raise
    except FFmpegError:
        return []


def _aac_stream(target: OutputContainer, source: AudioCodecContext) -> AudioStream:
    rate = source.rate if source.rate in _AAC_RATES else 48000
    layout = source.layout.name if source.layout.name in _AAC_LAYOUTS else "stereo"
    added = target.add_stream("aac", rate=rate)
    added.codec_context.layout = layout
    added.codec_context.bit_rate = _BITS_PER_CHANNEL * added.codec_context.layout.nb_channels
    return added
