"""Every file of the collection of hard ones, and where it must end.

Frames are compared with PyAV's plain decoding of the file from its first packet to its last, at full size and bit by
bit. Of more than `SAMPLED` frames, the first, the last, and some in between are asked for; always out of order.
"""

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest

from equivdm.errors import DamagedVideo, EmptyFile, ItemError, NotAVideo, NoVideoStream, Truncated
from equivdm.video.decode import decode
from equivdm.video.probe import probe

SAMPLED = 12


@dataclass(frozen=True)
class Ends:
    """A file that is refused."""

    error: type[ItemError]
    message: str


@dataclass(frozen=True)
class Decodes:
    """A file that is decoded, as upright pictures."""

    frames: int
    height: int
    width: int
    turns: int = 0
    """Clockwise quarter turns that bring the stored picture upright."""
    mirrored: bool = False


SYNTHETIC = Decodes(48, 240, 320)

EXPECTED: dict[str, Ends | Decodes] = {
    "real/audio_only_frag.mp4": Ends(NoVideoStream, "has no video stream"),
    "real/av1_video.mkv": Decodes(125, 360, 640),
    "real/bitmap.mp4": Decodes(5, 1, 1),
    "real/bt709_full_range.mp4": Decodes(30, 720, 1280),
    "real/carphone_176x144.mp4": Decodes(120, 144, 176),
    "real/chroma_yuvj444p.mp4": Decodes(132, 720, 1280),
    "real/example_mask.mp4": Decodes(300, 200, 200),
    "real/flower_fragmented.mp4": Decodes(150, 540, 960),
    "real/flower_vp8.webm": Decodes(150, 540, 960),
    "real/h264_10bits.mp4": Decodes(30, 200, 200),
    "real/h265_video.mp4": Decodes(10, 128, 128),
    "real/nasa_13013.mp4": Decodes(390, 270, 480),  # the larger of its two video streams
    "real/rotated_0.mov": Decodes(3, 320, 568),
    "real/rotated_180.mov": Decodes(3, 320, 568, turns=2),
    "real/rotated_90.mov": Decodes(3, 568, 320, turns=1),
    "real/smpte-2997.mp4": Decodes(251, 1080, 1920),
    "real/video_with_failing_audio.mp4": Decodes(280, 360, 640),
    "real/zero_byte.webm": Ends(EmptyFile, "zero_byte.webm is empty"),
    "synth/animated.gif": Decodes(16, 120, 160),
    "synth/audio_only.m4a": Ends(NoVideoStream, "has no video stream"),
    "synth/baseline.mp4": SYNTHETIC,
    "synth/black.mp4": Decodes(32, 240, 320),
    "synth/cross_fade_16_32.mp4": SYNTHETIC,
    "synth/flash_at_20.mp4": Decodes(40, 240, 320),
    "synth/flip_h.mp4": Decodes(48, 240, 320, mirrored=True),
    "synth/fps_240.mp4": SYNTHETIC,
    "synth/frozen_middle.mp4": SYNTHETIC,
    "synth/gray.mp4": Decodes(24, 240, 320),
    "synth/hard_cut_at_24.mp4": SYNTHETIC,
    "synth/hevc_10bit_pq.mp4": Decodes(24, 240, 320),
    "synth/html_error_page.mp4": Ends(NotAVideo, "is no video that FFmpeg can open"),
    "synth/interlaced_tff.mp4": SYNTHETIC,
    "synth/letterbox.mp4": Decodes(32, 240, 320),
    "synth/lossless_ffv1.mkv": Decodes(16, 240, 320),
    "synth/mjpeg.avi": Decodes(24, 240, 320),
    "synth/odd_size_428x238.mp4": Decodes(24, 238, 428),
    "synth/one_keyframe_bframes.mp4": Decodes(240, 240, 320),
    "synth/rotate_90.mp4": Decodes(48, 320, 240, turns=1),
    "synth/sar_4_3.mp4": Decodes(24, 240, 320),
    "synth/static.mp4": Decodes(32, 240, 320),
    "synth/tall_64x720.mp4": Decodes(16, 720, 64),
    "synth/text_named_mp4.mp4": Ends(NotAVideo, "is no video that FFmpeg can open"),
    "synth/three_frames.mp4": Decodes(3, 240, 320),
    "synth/tiny_16x16.mp4": Decodes(16, 16, 16),
    "synth/truncated_no_moov.mp4": Ends(Truncated, "ends before its index"),
    "synth/vfr_irregular.mp4": SYNTHETIC,
    "synth/zero_byte.mp4": Ends(EmptyFile, "zero_byte.mp4 is empty"),
    "synth/zeroed_middle.mp4": Ends(DamagedVideo, r"of 48 frames could be decoded.*h264"),
}

DECODED = {name: end for name, end in EXPECTED.items() if isinstance(end, Decodes)}
REFUSED = {name: end for name, end in EXPECTED.items() if isinstance(end, Ends)}


def test_every_file_has_an_expectation(assets: Path) -> None:
    hard = assets / "hard"
    assert {str(path.relative_to(hard)) for path in hard.rglob("*") if path.is_file()} == set(EXPECTED)


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_used_says_why(assets: Path, name: str) -> None:
    path, end = str(assets / "hard" / name), REFUSED[name]
    with pytest.raises(end.error, match=end.message) as raised:
        decode(path, range(len(probe(path).timestamps)), None)
    assert type(raised.value) is end.error


def plain_frames(path: str, numbers: set[int]) -> dict[int, np.ndarray]:
    """Frames by their place in PyAV's output, as they are stored."""
    with av.open(path) as container:
        stream = container.streams.best("video")
        assert isinstance(stream, av.VideoStream)
        frames = enumerate(container.decode(stream))
        return {number: frame.to_ndarray(format="rgb24") for number, frame in frames if number in numbers}


@pytest.mark.parametrize("name", DECODED)
def test_frames_are_those_of_a_plain_decoding(assets: Path, name: str) -> None:
    path, end = str(assets / "hard" / name), DECODED[name]
    info = probe(path)
    assert (len(info.timestamps), info.height, info.width) == (end.frames, end.height, end.width)
    assert (np.diff(info.timestamps) > 0).all()
    rng = np.random.default_rng(0)
    numbers = rng.permutation(end.frames)
    if end.frames > SAMPLED:
        between = rng.choice(np.arange(1, end.frames - 1), 4, replace=False)
        numbers = rng.permutation([0, *between, end.frames - 1])
    stored = plain_frames(path, set(numbers.tolist()))
    want = [np.rot90(stored[k][:, ::-1] if end.mirrored else stored[k], -end.turns) for k in numbers.tolist()]
    np.testing.assert_array_equal(decode(path, numbers.tolist(), None), np.stack(want))
    # Alone, a frame is reached by jumping to the key frame before it.
    for number, picture in zip(numbers.tolist()[:2], want, strict=False):
        np.testing.assert_array_equal(decode(path, [number], None)[0], picture)


@pytest.mark.parametrize("start", [0, 8, 16, 24, 32, 40])
def test_what_refers_to_a_damaged_key_frame_is_refused(assets: Path, start: int) -> None:
    """The zeroed part ends its only key frame; PyAV gives 38 frames, all wrong, and marks the first alone."""
    path = str(assets / "hard" / "synth" / "zeroed_middle.mp4")
    with pytest.raises(DamagedVideo, match=rf"0 of 8 frames could be decoded, of a video of 48.*frame {start} \(h264"):
        decode(path, range(start, start + 8), (64, 64))
