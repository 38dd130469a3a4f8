"""Small videos, damaged in many ways with fixed seeds: what is decoded is right, or known to be beyond notice."""

import random
from collections import Counter
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest

from equivdm.errors import ItemError
from equivdm.video.decode import decode
from equivdm.video.probe import probe
from equivdm.video.synthetic import render_scene

FRAMES, WINDOW, SEEDS = 32, 8, 3

CLIPS: dict[str, tuple[str, str, dict[str, str]]] = {
    "h264.mp4": ("libx264", "yuv420p", {"crf": "20"}),
    "h264.mkv": ("libx264", "yuv420p", {"crf": "20"}),
    "h264.ts": ("libx264", "yuv420p", {"crf": "20"}),
    "hevc.mp4": ("libx265", "yuv420p", {"crf": "20", "x265-params": "log-level=none"}),
    "hevc_md5.mp4": ("libx265", "yuv420p", {"crf": "20", "x265-params": "log-level=none:hash=1"}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {"crf": "20", "b": "0", "deadline": "realtime", "cpu-used": "8"}),
    "mjpeg.avi": ("mjpeg", "yuvj420p", {"q": "3"}),
    "ffv1.mkv": ("ffv1", "yuv420p", {"level": "3", "slicecrc": "1"}),
}

DAMAGES = ("one bit", "eight bytes", "zeros", "cut", "lost packets")


@cache
def scene() -> np.ndarray:
    return render_scene(4, frames=FRAMES, height=96, width=128).frames


def write_clip(path: Path, name: str) -> None:
    codec, pixels, options = CLIPS[name]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = 96, 128, pixels
        stream.codec_context.gop_size = 10
        stream.codec_context.thread_count = 1
        for frame in scene():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def harm(source: Path, target: Path, damage: str, rng: random.Random) -> None:
    """Write a damaged copy."""
    data = bytearray(source.read_bytes())
    place = rng.randrange(len(data) // 10, len(data) - 64)
    if damage == "one bit":
        data[place] ^= 1 << rng.randrange(8)
    elif damage == "eight bytes":
        for _ in range(8):
            data[rng.randrange(len(data) // 10, len(data))] = rng.randrange(256)
    elif damage == "zeros":
        end = min(len(data), place + rng.choice([16, 64, 512, 4096]))
        data[place:end] = bytes(end - place)
    elif damage == "cut":
        del data[rng.randrange(len(data) // 4, len(data)) :]
    elif source.suffix == ".ts":
        first = rng.randrange(len(data) // 1880, len(data) // 188 - 8) * 188
        del data[first : first + rng.choice([1, 3]) * 188]
    else:
        lose_packets(source, target, rng)
        return
    target.write_bytes(data)


def lose_packets(source: Path, target: Path, rng: random.Random) -> None:
    """Write the video anew, and whole, without one or three of its packets."""
    with av.open(str(source)) as whole, av.open(str(target), "w") as less:
        stream = less.add_stream_from_template(whole.streams.video[0])
        packets = [packet for packet in whole.demux(video=0) if packet.size]
        first = rng.randrange(5, len(packets) - 5)
        del packets[first : first + rng.choice([1, 3])]
        for packet in packets:
            packet.stream = stream
            less.mux(packet)


def outcomes(path: str, truth: dict[int, np.ndarray]) -> Counter[str]:
    """How the windows of a damaged video end.

    `gap`: right pictures at their right times, but not all of them are there, as in a video of variable rate.
    """
    ends: Counter[str] = Counter()
    try:
        times = probe(path).timestamps
    except ItemError:
        return Counter({"raised": FRAMES // WINDOW})
    for start in range(0, len(times) - WINDOW + 1, WINDOW):
        try:
            pictures = decode(path, range(start, start + WINDOW), None)
        except ItemError:
            ends["raised"] += 1
            continue
        shown = [round(time * 1000) for time in times[start : start + WINDOW]]
        right = all(np.array_equal(truth.get(time, 0), picture) for time, picture in zip(shown, pictures, strict=True))
        steady = (np.diff(shown) == 40).all()
        ends["wrong" if not right else "right" if steady else "gap"] += 1
    return ends


@cache
def clip(name: str, folder: Path) -> tuple[Path, dict[int, np.ndarray]]:
    """A whole video, and its frames by their milliseconds."""
    path = folder / f"whole_{name}"
    write_clip(path, name)
    times = [round(time * 1000) for time in probe(str(path)).timestamps]
    with av.open(str(path)) as container:
        plain = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    np.testing.assert_array_equal(decode(str(path), range(FRAMES), None), np.stack(plain))
    return path, dict(zip(times, plain, strict=True))


def tally(name: str, damage: str, folder: Path) -> Counter[str]:
    whole, truth = clip(name, folder)
    total: Counter[str] = Counter()
    for seed in range(SEEDS):
        target = folder / f"{seed} {damage} {name}"
        harm(whole, target, damage, random.Random(f"{name} {damage} {seed}"))
        total += outcomes(str(target), truth)
        target.unlink()
    return total


UNNOTICED: dict[tuple[str, str], int] = {
    # A changed byte of picture data that is legal all the same, without any checksum over it.
    ("hevc.mp4", "one bit"): 5,
    ("hevc.mp4", "eight bytes"): 10,
    ("hevc.mp4", "zeros"): 1,
    ("mjpeg.avi", "one bit"): 1,
    ("mjpeg.avi", "eight bytes"): 4,
    ("mjpeg.avi", "zeros"): 1,
    ("h264.ts", "eight bytes"): 3,
    ("h264.ts", "zeros"): 2,
    # Frames that were lost before the file was written: it is whole, and its stamps are those of a variable rate.
    ("h264.mkv", "lost packets"): 3,
    ("ffv1.mkv", "lost packets"): 6,
}
"""Windows that may come out wrong, of the 12 that each damage is done to. Everything else must be 0."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged")


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", CLIPS)
def test_damage_is_noticed(folder: Path, name: str, damage: str) -> None:
    ends = tally(name, damage, folder)
    assert ends["wrong"] <= UNNOTICED.get((name, damage), 0), dict(ends)
    assert ends["right"] or ends["raised"]


def test_a_checksum_costs_the_damaged_part_only(folder: Path) -> None:
    """FFmpeg sums up each cluster of a Matroska file; here, ten frames from one key frame to the next."""
    whole, truth = clip("ffv1.mkv", folder)
    data = bytearray(whole.read_bytes())
    clusters = [place for place in range(len(data)) if data[place : place + 4] == b"\x1f\x43\xb6\x75"]
    data[clusters[1] + 3000] ^= 16
    damaged = folder / "one_cluster.mkv"
    damaged.write_bytes(data)
    with pytest.raises(ItemError, match="0 of 10 frames"):
        decode(str(damaged), range(10, 20), None)
    pictures = np.stack(list(truth.values()))
    numbers = [*range(10), *range(20, FRAMES)]
    np.testing.assert_array_equal(decode(str(damaged), numbers, None), pictures[numbers])


def test_vp9_is_decoded_to_the_same_frames_by_the_decoder_that_notices_more(folder: Path) -> None:
    whole, truth = clip("vp9.webm", folder)
    np.testing.assert_array_equal(decode(str(whole), range(FRAMES), None), np.stack(list(truth.values())))
