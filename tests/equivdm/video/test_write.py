"""Writing videos: from an array or a stream of pictures, at rates that are no whole numbers, at the smallest sizes."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from equivdm.video.decode import decode
from equivdm.video.probe import probe
from equivdm.video.synthetic import render_scene
from equivdm.video.write import write_video


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return render_scene(6, frames=4, height=32, width=48).frames


def test_pictures_that_come_one_by_one_make_the_same_file(frames: np.ndarray, tmp_path: Path) -> None:
    def pictures() -> Iterator[np.ndarray]:
        yield from frames

    write_video(str(tmp_path / "array.mp4"), frames, 12.0)
    write_video(str(tmp_path / "stream.mp4"), pictures(), 12.0)
    assert (tmp_path / "array.mp4").read_bytes() == (tmp_path / "stream.mp4").read_bytes()


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(25, 2), Fraction(60)])
def test_a_rate_is_kept_as_a_fraction(frames: np.ndarray, tmp_path: Path, rate: Fraction) -> None:
    path = str(tmp_path / "rate.mp4")
    write_video(path, frames, float(rate))
    with av.open(path) as container:
        assert container.streams.video[0].average_rate == rate


def test_one_frame_of_one_pixel_is_a_video(tmp_path: Path) -> None:
    path = str(tmp_path / "pixel.mp4")
    write_video(path, np.full((1, 1, 1, 3), 200, np.uint8), 1.0)
    info = probe(path)
    assert (info.height, info.width, len(info.timestamps)) == (2, 2, 1)
    assert np.abs(decode(path, [0], None).astype(int) - 200).max() <= 2


@pytest.mark.parametrize("grey", [0, 16, 128, 235, 255])
def test_a_grey_stays_the_grey_that_it_was(tmp_path: Path, grey: int) -> None:
    """Limited range, marked as such: no player takes black for dark grey."""
    path = str(tmp_path / "grey.mp4")
    write_video(path, np.full((2, 16, 16, 3), grey, np.uint8), 8.0, crf=0)
    assert np.abs(decode(path, [0, 1], None).astype(int) - grey).max() <= 2


def test_a_file_that_is_there_is_replaced(frames: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(b"something longer than a video" * 10_000)
    write_video(str(path), frames[:2], 8.0)
    assert path.stat().st_size < 100_000
    assert len(probe(str(path)).timestamps) == 2


@pytest.mark.parametrize(
    ("count", "fps", "crf", "said"),
    [(0, 8.0, 18, "no frame"), (1, -1.0, 18, "fps=-1.0, crf=18"), (1, 8.0, -1, "fps=8.0, crf=-1")],
)
def test_what_cannot_be_written_says_what_it_got(
    frames: np.ndarray, tmp_path: Path, count: int, fps: float, crf: int, said: str
) -> None:
    with pytest.raises(ValueError, match=rf"^got {said}: at least 1 frame, fps > 0, crf in 0..51$"):
        write_video(str(tmp_path / "x.mp4"), frames[:count], fps, crf)
    assert not (tmp_path / "x.mp4").exists()


def test_a_folder_that_does_not_exist_is_an_os_error(frames: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_video(str(tmp_path / "no" / "x.mp4"), frames, 8.0)
