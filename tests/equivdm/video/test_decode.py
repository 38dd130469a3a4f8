"""Probing, decoding and writing, on files made here and on real ones (all hard ones: test_hard.py)."""

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from equivdm.errors import NotAVideo, Truncated
from equivdm.video.decode import decode
from equivdm.video.probe import probe
from equivdm.video.synthetic import render_scene
from equivdm.video.write import write_video


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / np.square(a.astype(np.float64) - b).mean())


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return render_scene(4, frames=12, height=64, width=96).frames


@pytest.fixture(scope="module")
def written(frames: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("written") / "scene.mp4")
    write_video(path, frames, 30000 / 1001, crf=0)
    return path


def test_what_was_written_comes_back(written: str, frames: np.ndarray) -> None:
    info = probe(written)
    assert (info.height, info.width, info.rotation) == (64, 96, 0)
    np.testing.assert_allclose(info.timestamps, np.arange(12) * 1001 / 30000, atol=1e-4)
    assert info.fps == pytest.approx(30000 / 1001)
    back = decode(written, range(12), None)
    # Colour at half the resolution, in 8 bits and limited range: halving it alone leaves 32.5 dB of these frames.
    assert _psnr(back, frames) > 30.5
    assert np.abs(back.mean((0, 1, 2)) - frames.mean((0, 1, 2))).max() < 2


def test_browsers_can_play_what_is_written(written: str) -> None:
    data = Path(written).read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(written) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.name, codec.pix_fmt, codec.colorspace) == ("h264", "yuv420p", 1)


def test_writing_is_deterministic_and_crf_shrinks(frames: np.ndarray, tmp_path: Path) -> None:
    for name, crf in (("a", 18), ("b", 18), ("c", 40)):
        write_video(str(tmp_path / f"{name}.mp4"), frames, 8.0, crf)
    first, again, small = ((tmp_path / f"{name}.mp4").read_bytes() for name in "abc")
    assert first == again
    assert len(small) < len(first)


def test_odd_sides_are_extended(frames: np.ndarray, tmp_path: Path) -> None:
    path = str(tmp_path / "odd.mp4")
    write_video(path, np.ascontiguousarray(frames[:2, :63, :95]), 8.0)
    assert decode(path, [0, 1], None).shape == (2, 64, 96, 3)


@pytest.mark.parametrize("name", ["h265_video.mp4", "flower_vp8.webm"])
def test_jumping_finds_the_frames_that_reading_through_finds(assets: Path, name: str) -> None:
    path = str(assets / "hard" / "real" / name)
    every = decode(path, range(10), (32, 32))
    for number in range(10):
        np.testing.assert_array_equal(decode(path, [number], (32, 32))[0], every[number])


def test_any_order_and_repeats(written: str) -> None:
    every = decode(written, range(12), (32, 32))
    np.testing.assert_array_equal(decode(written, [7, 2, 7, 11], (32, 32)), every[[7, 2, 7, 11]])


def test_size_is_filled_from_the_centre(written: str) -> None:
    full = decode(written, [3], None)[0]
    square = decode(written, [3], (32, 32))[0]
    np.testing.assert_array_equal(square, cv2.resize(full[:, 16:80], (32, 32), interpolation=cv2.INTER_AREA))
    wide = decode(written, [3], (24, 96))[0]
    np.testing.assert_array_equal(wide, full[20:44])


@pytest.mark.parametrize(("name", "codec"), [("old.avi", "mpeg4"), ("raw.h264", "libx264")])
def test_b_frames_in_containers_with_poor_stamps(frames: np.ndarray, tmp_path: Path, name: str, codec: str) -> None:
    path = str(tmp_path / name)
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        stream.codec_context.max_b_frames = 2
        stream.codec_context.bit_rate = 4_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    count = len(probe(path).timestamps)
    assert count == 12
    back = decode(path, range(count), None)
    assert min(_psnr(a, b) for a, b in zip(back, frames, strict=True)) > 26
    np.testing.assert_array_equal(decode(path, [9, 4], None), back[[9, 4]])


@pytest.mark.parametrize(("indices", "size"), [([], None), ([-1], None), ([12], None), ([0], (0, 8))])
def test_wrong_arguments_are_refused(written: str, indices: list[int], size: tuple[int, int] | None) -> None:
    with pytest.raises(ValueError, match="at least"):
        decode(written, indices, size)


@pytest.mark.parametrize("arguments", [(0, 8.0, 18), (2, 0.0, 18), (2, 8.0, 60)])
def test_writing_refuses_wrong_arguments(frames: np.ndarray, tmp_path: Path, arguments: tuple[int, float, int]) -> None:
    count, fps, crf = arguments
    with pytest.raises(ValueError, match="at least 1 frame"):
        write_video(str(tmp_path / "x.mp4"), frames[:count], fps, crf)


def test_foreign_files_are_no_videos(tmp_path: Path) -> None:
    texts = {
        "empty.mp4": b"",
        "page.mp4": b"<html>404</html>",
        "list.m3u8": b"#EXTM3U\n#EXTINF:1,\n/etc/hosts\n",
        "a.txt": b"hi",
    }
    for name, content in texts.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(NotAVideo, match=name):
            probe(str(tmp_path / name))
    with pytest.raises(FileNotFoundError):
        probe(str(tmp_path / "absent.mp4"))


def test_a_file_cut_short_says_how_much_is_left(written: str, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp4"
    data = Path(written).read_bytes()
    cut.write_bytes(data[: int(0.6 * len(data))])
    with pytest.raises(Truncated, match=r"holds \d+ of the 12 frames"):
        probe(str(cut))


def test_a_replaced_file_is_read_again(frames: np.ndarray, tmp_path: Path) -> None:
    path = str(tmp_path / "same.mp4")
    for count in (4, 6):
        write_video(path, frames[:count], 8.0)
        assert len(probe(path).timestamps) == count


def test_every_clip_decodes(assets: Path) -> None:
    paths = sorted((assets / "clips").glob("*.mp4"))
    assert len(paths) == 16
    for path in paths:
        assert decode(str(path), [0, 1, 2], (64, 64)).shape == (3, 64, 64, 3)


def test_turned_and_mirrored_files_come_out_upright(assets: Path) -> None:
    synth = assets / "hard" / "synth"
    upright = decode(str(synth / "baseline.mp4"), [0, 30], None)
    turned = decode(str(synth / "rotate_90.mp4"), [0, 30], None)
    mirrored = decode(str(synth / "flip_h.mp4"), [0, 30], None)
    np.testing.assert_array_equal(turned, np.rot90(upright, -1, axes=(1, 2)))
    np.testing.assert_array_equal(mirrored, upright[:, :, ::-1])
    assert [probe(str(synth / f"{name}.mp4")).rotation for name in ("baseline", "rotate_90", "flip_h")] == [0, 90, 0]


def test_phone_recordings_agree_however_they_were_held(assets: Path) -> None:
    """The same scene, recorded with the telephone turned: the pictures must look alike once upright."""
    real = assets / "hard" / "real"
    assert [probe(str(real / f"rotated_{angle}.mov")).rotation for angle in (0, 90, 180)] == [0, 90, 180]
    assert decode(str(real / "rotated_180.mov"), [0], None).shape == (1, 320, 568, 3)


def test_wide_pixels_are_shown_wide(assets: Path) -> None:
    path = str(assets / "hard" / "synth" / "sar_4_3.mp4")
    full = decode(path, [5], None)[0]
    # 320 x 240 with pixels of 4:3 is shown 427 wide; a square takes the middle 240 / (4 / 3) = 180 stored columns.
    want = cv2.resize(full[:, 70:250], (64, 64), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(decode(path, [5], (64, 64))[0], want)
