"""Containers that contradict themselves, or hold something else than they seem to."""

import os
from pathlib import Path

import av
import numpy as np
import pytest

from equivdm.errors import DamagedVideo, NotAVideo, Truncated, UnsupportedVideo
from equivdm.video.decode import decode
from equivdm.video.probe import probe
from equivdm.video.synthetic import render_scene


def frames(count: int, height: int = 64) -> np.ndarray:
    return render_scene(4, frames=count, height=height, width=96).frames


def write(path: Path, pictures: np.ndarray, codec: str = "libx264", stamps: list[int] | None = None) -> Path:
    """Write a video with a key frame every eight frames, with stamps in frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size = 8
        packets = []
        for picture in pictures:
            packets += stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24"))
        for number, packet in enumerate([*packets, *stream.encode()]):
            if stamps is not None:
                packet.pts = packet.dts = stamps[number]
            container.mux(packet)
    return path


def plain(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_recordings_stuck_together_are_refused(tmp_path: Path) -> None:
    """In order of their stamps, frames of both parts would take turns."""
    part = write(tmp_path / "part.ts", frames(40))
    twice = tmp_path / "twice.ts"
    twice.write_bytes(2 * part.read_bytes())
    assert len(probe(str(part)).timestamps) == 40
    with pytest.raises(DamagedVideo, match="jump back"):
        probe(str(twice))


def test_frames_that_share_a_stamp_are_told_apart(tmp_path: Path) -> None:
    path = write(tmp_path / "pairs.mkv", frames(8), "mjpeg", stamps=[0, 40, 40, 120, 160, 160, 160, 280])
    times = probe(str(path)).timestamps
    assert len(times) == 8
    assert (np.diff(times) == 0).sum() == 3
    np.testing.assert_array_equal(decode(str(path), [6, 1, 2, 5], None), plain(path)[[6, 1, 2, 5]])


def test_the_stated_duration_shows_what_is_missing(tmp_path: Path) -> None:
    """Of a segment of unknown size FFmpeg cannot tell that it is cut."""
    data = bytearray(write(tmp_path / "whole.mkv", frames(48)).read_bytes())
    segment = data.index(b"\x18\x53\x80\x67") + 4
    data[segment : segment + 8] = b"\x01" + 7 * b"\xff"
    live, cut = tmp_path / "live.mkv", tmp_path / "cut.mkv"
    live.write_bytes(data)
    assert len(probe(str(live)).timestamps) == 48
    clusters = [place for place in range(len(data)) if data[place : place + 4] == b"\x1f\x43\xb6\x75"]
    cut.write_bytes(data[: clusters[len(clusters) // 2]])
    with pytest.raises(Truncated, match=r"ends at \d\.\d+ s of the 1\.9\d+ s"):
        probe(str(cut))


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm"])
def test_a_cut_file_is_truncated(tmp_path: Path, suffix: str) -> None:
    whole = write(tmp_path / f"whole.{suffix}", frames(16), "libvpx" if suffix == "webm" else "libx264")
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(whole.read_bytes()[: int(0.7 * whole.stat().st_size)])
    with pytest.raises(Truncated, match=r"cut\."):
        probe(str(cut))


def test_an_unknown_codec_is_unsupported(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", frames(4))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzz1"))
    with pytest.raises(UnsupportedVideo, match="cannot decode"):
        probe(str(path))


def test_a_change_of_size_is_unsupported(tmp_path: Path) -> None:
    parts = [write(tmp_path / f"{height}.h264", frames(8, height)).read_bytes() for height in (64, 48)]
    both = tmp_path / "both.h264"
    both.write_bytes(b"".join(parts))
    assert decode(str(both), range(4), (32, 32)).shape == (4, 32, 32, 3)
    with pytest.raises(UnsupportedVideo, match="96x48 pixels in a video of 96x64"):
        decode(str(both), [12], (32, 32))


def test_a_damaged_header_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", frames(4))
    data = bytearray(path.read_bytes())
    data[data.index(b"V_MPEG4") - 20] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedVideo, match="the checksum of Tracks"):
        probe(str(path))


def test_what_only_begins_like_a_video_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    path.write_bytes(b"\x1a\x45\xdf\xa3" + bytes(100))
    with pytest.raises(DamagedVideo, match="begins like a video"):
        probe(str(path))


def test_pipes_and_folders_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "folder.mp4").mkdir()
    for name in ("pipe.mp4", "folder.mp4"):
        with pytest.raises(NotAVideo, match="no regular file"):
            probe(str(tmp_path / name))
