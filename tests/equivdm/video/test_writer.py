"""What VideoWriter writes: pixels, order, times, tags, bytes."""

import struct
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equivdm.errors import UnsupportedVideo
from equivdm.render_config import OutputConfig
from equivdm.video.decode import decode
from equivdm.video.probe import probe
from equivdm.video.timing import Timing
from equivdm.video.write import VideoWriter
from tests.equivdm.video.charts import PATCH, RGB

CODECS = ["h264", "h265", "lossless"]
BITS = 8


def config(codec: str, **settings: object) -> OutputConfig:
    return OutputConfig(codec=codec, **{"preset": "ultrafast", **settings})  # type: ignore[arg-type]


def written(folder: Path, frames: np.ndarray, output: OutputConfig, timing: Timing | None = None) -> str:
    """Write frames in parts of three."""
    path = str(folder / f"video{output.suffix}")
    with VideoWriter(path, output, frames.shape[1:3], timing or Timing.at_rate(25.0)) as writer:
        for start in range(0, len(frames), 3):
            writer.write(frames[start : start + 3])
    return path


def numbered(count: int) -> np.ndarray:
    """Frames that carry their number as black and white squares above a still picture."""
    bits = np.arange(count)[:, None] >> np.arange(BITS) & 1
    frames = np.empty((count, 96, 16 * BITS, 3), np.uint8)
    frames[:] = np.random.default_rng(0).integers(0, 256, frames.shape[1:], np.uint8)
    frames[:, :16] = 255 * np.repeat(bits, 16, axis=1)[:, None, :, None]
    return frames


def numbers(frames: np.ndarray) -> list[int]:
    """The numbers that frames carry."""
    bits = frames[:, 8, 8::16].mean(axis=-1) > 128
    return (bits @ (1 << np.arange(BITS))).tolist()


@pytest.fixture(scope="module")
def chart() -> np.ndarray:
    return np.repeat(np.broadcast_to(RGB.astype(np.uint8), (3, 6 * PATCH, *RGB.shape)), 2 * PATCH, axis=2)


@pytest.mark.parametrize("codec", CODECS)
def test_colours_come_back(chart: np.ndarray, tmp_path: Path, codec: str) -> None:
    back = decode(written(tmp_path, chart, config(codec, crf=12, preset="medium")), range(3), None)
    if codec == "lossless":
        np.testing.assert_array_equal(back, chart)
    middle = (slice(None), PATCH, slice(PATCH, None, 2 * PATCH))
    assert np.abs(back[middle].astype(int) - RGB).max() <= 4


@settings(max_examples=8)
@given(size=st.tuples(st.integers(1, 40), st.integers(1, 40)), count=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
def test_lossless_is_exact(
    tmp_path_factory: pytest.TempPathFactory, size: tuple[int, int], count: int, seed: int
) -> None:
    frames = np.random.default_rng(seed).integers(0, 256, (count, *size, 3), np.uint8)
    path = written(tmp_path_factory.mktemp("exact"), frames, config("lossless"))
    np.testing.assert_array_equal(decode(path, range(count), None), frames)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("preset", ["ultrafast", "medium"])
def test_every_frame_comes_once_and_in_order(tmp_path: Path, codec: str, preset: str) -> None:
    path = written(tmp_path, numbered(70), config(codec, preset=preset))
    assert numbers(decode(path, range(70), None)) == list(range(70))
    with av.open(path) as container:
        stamps = [packet.pts or 0 for packet in container.demux(video=0) if packet.size]
    reordered = any(b < a for a, b in pairwise(stamps))
    assert reordered == (codec == "h265" or (codec == "h264" and preset == "medium"))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("size", [(97, 112), (96, 111), (99, 113)])
def test_odd_sides(tmp_path: Path, codec: str, size: tuple[int, int]) -> None:
    """Those of mp4 are extended by a line; a lossless file has none."""
    ramp = np.linspace(20, 230, size[0] * size[1]).reshape(*size, 1).repeat(3, axis=2).astype(np.uint8)
    back = decode(written(tmp_path, ramp[None], config(codec, crf=5)), [0], None)[0]
    even = (size[0] + size[0] % 2, size[1] + size[1] % 2)
    assert back.shape[:2] == (size if codec == "lossless" else even)
    want = np.pad(ramp, ((0, back.shape[0] - size[0]), (0, back.shape[1] - size[1]), (0, 0)), mode="edge")
    assert np.abs(back.astype(int) - want).max() <= 8


BASES = [Fraction(1, 90000), Fraction(1, 1000), Fraction(1001, 30000), Fraction(1, 19200), Fraction(1, 600)]


@pytest.mark.parametrize("codec", ["h264", "h265"])
@settings(max_examples=8)
@given(
    steps=st.lists(st.integers(1, 2000), min_size=1, max_size=12),
    first=st.integers(0, 3000),
    base=st.sampled_from(BASES),
    preset=st.sampled_from(["ultrafast", "medium"]),
)
def test_stamps_are_kept_exactly(
    tmp_path_factory: pytest.TempPathFactory, codec: str, steps: list[int], first: int, base: Fraction, preset: str
) -> None:
    """With B-frames and without, from the first stamp to the end of the last frame."""
    ticks = first + np.cumsum([0, *steps[:-1]])
    timing = Timing(Fraction(25), base, ticks, steps[-1])
    frames = numbered(len(ticks))
    path = written(tmp_path_factory.mktemp("stamps"), frames, config(codec, preset=preset), timing)
    found = probe(path).timing
    assert found.ticks is not None
    assert [tick * found.time_base for tick in found.ticks.tolist()] == [tick * base for tick in ticks.tolist()]
    length = (sum(steps)) * base
    ((duration, _),) = [edit for edit in edits(Path(path).read_bytes()) if edit[1] >= 0]
    assert duration == length * base.denominator
    if preset == "ultrafast" and codec == "h264":
        # Where frames are stored in another order, FFmpeg's reader does not always see how long the last is shown.
        assert found.last * found.time_base == steps[-1] * base
    assert found.origin == 0


@pytest.mark.parametrize(
    ("name", "base", "options"),
    [
        ("source.mp4", Fraction(1, 12800), {}),
        ("source.mp4", Fraction(1, 12800), {"bf": "0"}),
        ("source.mkv", Fraction(1, 1000), {}),
        ("source.ts", Fraction(1, 90000), {}),
    ],
)
@pytest.mark.parametrize("codec", CODECS)
def test_a_source_of_variable_rate_keeps_its_times(
    tmp_path: Path, codec: str, name: str, base: Fraction, options: dict[str, str]
) -> None:
    """From its probe, through the writer, to the probe of what was written."""
    ticks = np.cumsum([97, 12, 51, 48, 400, 33, 40, 40, 7, 90, 1000, 44]) * round(1 / 1000 / base)
    frames = numbered(len(ticks))
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        stream.codec_context.time_base = base
        for frame, tick in zip(frames, ticks.tolist(), strict=True):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = tick, base
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    source = probe(str(tmp_path / name)).timing
    assert source.ticks is not None
    # A transport stream's clock starts with its first frame.
    wanted = (ticks - (ticks[0] if name.endswith("ts") else 0)) * float(base)
    np.testing.assert_allclose(source.ticks * float(source.time_base), wanted, atol=1e-3)
    found = probe(written(tmp_path, frames, config(codec, preset="medium"), source)).timing
    assert found.ticks is not None
    times = [[tick * timing.time_base for tick in timing.ticks.tolist()] for timing in (source, found)]  # type: ignore
    assert max(abs(a - b) for a, b in zip(*times, strict=True)) <= (Fraction(1, 2000) if codec == "lossless" else 0)


def test_a_lossless_file_rounds_stamps_to_milliseconds(tmp_path: Path) -> None:
    ticks = np.array([3283, 4051, 6000, 9000, 9111, 15768])
    timing = Timing(Fraction(25), Fraction(1, 19200), ticks, 777)
    found = probe(written(tmp_path, numbered(6), config("lossless"), timing)).timing
    assert found.time_base == Fraction(1, 1000)
    assert found.ticks is not None
    assert np.abs(found.ticks / 1000 - ticks / 19200).max() <= 0.501e-3
    assert abs(found.last / 1000 - 777 / 19200) <= 1e-3


def boxes(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the top-level boxes of an mp4."""
    place = 0
    while place < len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        yield data[place + 4 : place + 8].decode(), data[place + 8 : place + size]
        place += size


def edits(data: bytes) -> list[tuple[int, int]]:
    """(duration in ticks of the file, first tick of the track) of the edit list; -1 for a time in which nothing is."""
    place = data.index(b"elst")
    count = int.from_bytes(data[place + 8 : place + 12], "big")
    assert data[place + 4] == 0
    return [struct.unpack_from(">Ii", data, place + 12 + 12 * edit) for edit in range(count)]


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_a_player_finds_what_it_needs(tmp_path: Path, codec: str) -> None:
    path = written(tmp_path, numbered(12), config(codec), Timing.at_rate(30000 / 1001))
    with av.open(path) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        tags = (context.colorspace, context.color_primaries, context.color_trc, context.color_range)
        assert tags == (1, 1, 1, 1)
        assert (context.codec_tag, context.pix_fmt) == ("avc1" if codec == "h264" else "hvc1", "yuv420p")
        assert stream.average_rate == Fraction(30000, 1001)
        assert stream.frames == 12
        assert stream.duration is not None
        assert stream.time_base is not None
        assert stream.duration * stream.time_base == Fraction(12 * 1001, 30000)
    content = list(boxes(Path(path).read_bytes()))
    assert [name for name, _ in content if name in ("moov", "mdat")] == ["moov", "mdat"]
    assert b"colrnclx" in dict(content)["moov"]  # the container says the colours too


def test_tags_of_a_lossless_file(tmp_path: Path) -> None:
    with av.open(written(tmp_path, numbered(5), config("lossless"), Timing.at_rate(24000 / 1001))) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "ffv1"
        assert stream.average_rate == Fraction(24000, 1001)
        frame = next(container.decode(stream))
        assert (frame.colorspace, frame.color_range) == (0, 2)
        assert stream.codec_context.color_primaries == stream.codec_context.color_trc == 1
        assert all(packet.is_keyframe for packet in container.demux(stream) if packet.size)


@pytest.mark.parametrize("codec", CODECS)
def test_the_same_frames_are_the_same_bytes(tmp_path: Path, codec: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 96, 96, 3), np.uint8)
    contents = set()
    for name in "ab":
        (tmp_path / name).mkdir()
        contents.add(Path(written(tmp_path / name, noise, config(codec, preset="medium"))).read_bytes())
    assert len(contents) == 1


def test_crf_and_preset_count(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, 96, 96, 3), np.uint8)
    for codec in ("h264", "h265"):
        sizes = [Path(written(tmp_path, noise, config(codec, crf=crf))).stat().st_size for crf in (10, 30, 51)]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[0] > 2 * sizes[2]


@pytest.mark.parametrize(
    ("count", "size", "said"),
    [
        (2, (96, 128), "got 2 frames, wanted 3"),
        (4, (96, 128), "more than 3 frames"),
        (3, (32, 64), r"wanted \(32, 64\)"),
    ],
)
def test_what_does_not_fit_leaves_no_file(tmp_path: Path, count: int, size: tuple[int, int], said: str) -> None:
    path = tmp_path / "video.mp4"
    timing = Timing(Fraction(25), Fraction(1, 25), np.arange(3))
    with pytest.raises(ValueError, match=said), VideoWriter(str(path), config("h264"), size, timing) as writer:
        writer.write(numbered(count))
    assert not path.exists()


def test_a_failure_in_between_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"

    def fail() -> None:
        with VideoWriter(str(path), config("h264"), (96, 128), Timing.at_rate(25.0)) as writer:
            writer.write(numbered(60))
            assert path.exists()
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fail()
    assert not path.exists()


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_few_frames_of_h265(tmp_path: Path, count: int) -> None:
    """x265 gives fewer than three no decoding stamps, or wild ones."""
    path = written(tmp_path, numbered(count), config("h265", preset="medium"))
    assert numbers(decode(path, range(count), None)) == list(range(count))
    assert probe(path).timing.at(0) == 0


def test_a_size_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedVideo, match="got 100x93 pixels, wanted at least 96 a side for h265"):
        VideoWriter(str(tmp_path / "video.mp4"), config("h265"), (93, 100), Timing.at_rate(25.0))
    with pytest.raises(ValueError, match=r"size \(0, 8\)"):
        VideoWriter(str(tmp_path / "video.mp4"), config("h264"), (0, 8), Timing.at_rate(25.0))
