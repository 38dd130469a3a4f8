"""The sound of a source in a written video: the same packets, in time with the pictures."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from equivdm.render_config import OutputConfig
from equivdm.video.probe import probe
from equivdm.video.sound import Sound
from equivdm.video.timing import Timing
from equivdm.video.write import VideoWriter

RATE = 32000
"""Samples a second."""
SIZE = (96, 128)


def write_source(
    path: Path, codec: str, *, seconds: float = 1.0, first: int = 0, delay: float = 0.0, flash: int = 10
) -> None:
    """Write a video of 25 frames a second, black but for one white frame, and silence but for a click with it.

    Args:
        path: its ending says the container.
        codec: of the sound.
        seconds: length of the video; the sound is 0.2 s longer.
        first: number of frame times that pass before the first frame.
        delay: seconds from time 0 to the first sample.
        flash: number of the white frame.
    """
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        assert isinstance(video, av.VideoStream)
        video.height, video.width, video.pix_fmt = *SIZE, "yuv420p"
        sound = container.add_stream(codec, rate=RATE)
        assert isinstance(sound, av.AudioStream)
        sound.codec_context.layout = "mono"
        for number in range(round(25 * seconds)):
            picture = np.full((*SIZE, 3), 255 * (number == flash), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = first + number, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        samples = np.zeros(round(RATE * (seconds + 0.2)), np.int16)
        click = round(RATE * ((first + flash) / 25 - delay))
        samples[click : click + RATE // 100] = 20000
        for start in range(0, len(samples), 1000):
            frame = av.AudioFrame.from_ndarray(samples[None, start : start + 1000], format="s16", layout="mono")
            frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
            frame.pts = start + round(RATE * delay)
            container.mux(sound.encode(frame))
        container.mux(sound.encode())


def render(source: Path, target: Path, output: OutputConfig, part: tuple[int, int] | None = None) -> VideoWriter:
    """Write the source's frames again as they are, with its sound."""
    timing = probe(str(source)).timing
    with av.open(str(source)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    if part:
        frames, timing = frames[slice(*part)], timing.part(*part)
    with VideoWriter(str(target), output, SIZE, timing, str(source)) as writer:
        for frame in frames:
            writer.write(frame[None])
    return writer


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def click_and_flash(path: Path) -> tuple[float, float]:
    """Seconds at which the click and the white frame begin."""
    with av.open(str(path)) as container:
        flash = next(frame.time for frame in container.decode(video=0) if frame.to_ndarray(format="gray").mean() > 128)
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            samples = frame.to_ndarray().astype(float)
            loud = np.flatnonzero(np.abs(samples).max(axis=0) > 0.3 * (32767 if frame.format.name[0] == "s" else 1))
            if len(loud):
                return float(frame.time or 0) + loud[0] / frame.sample_rate, float(flash or 0)
    raise AssertionError("no click")


CASES = [
    ("aac", "source.mp4", "h264", "copied"),
    ("aac", "source.mp4", "lossless", "copied"),
    ("aac", "source.ts", "h265", "copied"),
    ("libmp3lame", "source.mkv", "h264", "copied"),
    ("flac", "source.mkv", "lossless", "copied"),
    ("pcm_s16le", "source.mov", "h264", "coded"),
    ("pcm_s16le", "source.mkv", "lossless", "copied"),
]


@pytest.mark.parametrize(("codec", "name", "output", "kind"), CASES)
@pytest.mark.parametrize(("first", "delay"), [(0, 0.0), (5, 0.12)])
def test_sound_stays_with_the_pictures(
    tmp_path: Path, codec: str, name: str, output: str, kind: str, first: int, delay: float
) -> None:
    config = OutputConfig(codec=output, preset="ultrafast")  # type: ignore[arg-type]
    source, target = tmp_path / name, tmp_path / f"out{config.suffix}"
    write_source(source, codec, first=first, delay=delay)
    assert render(source, target, config).sound == kind
    click, flash = click_and_flash(source)
    assert abs(click - flash) < 0.02
    rendered_click, rendered_flash = click_and_flash(target)
    assert abs((rendered_click - rendered_flash) - (click - flash)) < 0.005
    if not name.endswith("ts"):  # its clock starts anywhere
        assert rendered_flash == pytest.approx(flash, abs=1e-3)
    if kind == "copied":
        before, after = packets(source), packets(target)
        if name.endswith("ts"):  # its packets have headers of their own
            before = [packet[7:] for packet in before]
        # A Matroska file cannot say what comes before 0: the coder's delay.
        assert after == before or (output == "lossless" and after == before[1:])


def test_a_part_has_the_sound_of_its_time(tmp_path: Path) -> None:
    source, target = tmp_path / "source.mp4", tmp_path / "out.mp4"
    write_source(source, "aac", flash=12)
    render(source, target, OutputConfig(), (8, 18))
    click, flash = click_and_flash(target)
    assert flash == pytest.approx(4 / 25, abs=1e-6)
    assert abs(click - flash) < 0.02
    with av.open(str(target)) as container:
        assert container.duration is not None
        assert abs(container.duration / 1e6 - 10 / 25) < 0.04


def test_no_sound_where_there_is_none_or_it_is_not_wanted(tmp_path: Path) -> None:
    source, silent, still_silent = tmp_path / "source.mp4", tmp_path / "silent.mp4", tmp_path / "out.mp4"
    write_source(source, "aac")
    assert probe(str(source)).sound
    assert render(source, silent, OutputConfig(audio=False)).sound == "none"
    assert not probe(str(silent)).sound
    assert render(silent, still_silent, OutputConfig()).sound == "none"
    assert still_silent.read_bytes() == silent.read_bytes()


@pytest.mark.parametrize("output", ["h264", "lossless"])
@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_the_same_sound_is_the_same_bytes(tmp_path: Path, output: str, codec: str) -> None:
    config = OutputConfig(codec=output)  # type: ignore[arg-type]
    source = tmp_path / "source.mkv"
    write_source(source, codec)
    contents = set()
    for name in "ab":
        render(source, tmp_path / name, config)
        contents.add((tmp_path / name).read_bytes())
    assert len(contents) == 1


def test_sound_lies_beside_its_pictures_in_the_file(tmp_path: Path) -> None:
    """A player that reads a file from a slow place need not jump."""
    source, target = tmp_path / "source.mp4", tmp_path / "out.mp4"
    write_source(source, "aac", seconds=8.0)
    render(source, target, OutputConfig(preset="ultrafast"))
    with av.open(str(target)) as container:
        stored = sorted((packet for packet in container.demux() if packet.size), key=lambda packet: packet.pos or 0)
        times = [float((packet.dts or 0) * packet.time_base) for packet in stored]
    assert max(abs(later - before) for before, later in pairwise(times)) < 1.0


def test_damaged_sound_ends_no_video(assets: Path, tmp_path: Path) -> None:
    source, target = assets / "hard" / "real" / "video_with_failing_audio.mp4", tmp_path / "out.mp4"
    timing = probe(str(source)).timing
    frames = np.zeros((280, *SIZE, 3), np.uint8)
    with VideoWriter(str(target), OutputConfig(preset="ultrafast"), SIZE, timing, str(source)) as writer:
        writer.write(frames)
    assert writer.sound == "copied"
    assert packets(target) == packets(source)


def test_a_source_that_is_gone_leaves_no_file(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    with pytest.raises(OSError, match="absent"):
        VideoWriter(str(target), OutputConfig(), SIZE, Timing.at_rate(25.0), str(tmp_path / "absent.mp4")).__enter__()
    assert not target.exists()


def test_a_rate_that_aac_has_not_is_changed(tmp_path: Path) -> None:
    path, target = tmp_path / "odd.mkv", tmp_path / "out.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("pcm_s16le", rate=22000)
        assert isinstance(sound, av.AudioStream)
        sound.codec_context.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 22000), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts = 22000, 0
        container.mux(sound.encode(frame))
        container.mux(sound.encode())
    with av.open(str(target), "w") as container:
        sound = Sound(str(path), container, Timing.at_rate(25.0))
        sound.mux_until(None)
        sound.close()
    with av.open(str(target)) as container:
        stream = container.streams.audio[0]
        assert (stream.codec_context.name, stream.rate) == ("aac", 48000)
        assert stream.duration is not None
        assert abs(float(stream.duration * stream.time_base) - 1) < 0.05
