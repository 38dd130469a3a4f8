"""Conditions beside a video: the clip's frames and size, and what is wrong with them is said."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from equivdm.control_files import find_control, read_control
from equivdm.errors import BadControl
from equivdm.video.probe import VideoInfo
from equivdm.video.timing import Timing

HEIGHT, WIDTH = 24, 40
TIMING = Timing.at_rate(25.0)
INFO = VideoInfo(WIDTH, HEIGHT, WIDTH, HEIGHT, 25.0, np.arange(4) / 25, 0, 1.0, TIMING, sound=False)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Four grey pictures: a ramp from left to right, brighter from frame to frame."""
    folder = tmp_path / "v.control"
    folder.mkdir()
    for frame in range(4):
        ramp = np.broadcast_to(np.arange(WIDTH) + 40 * frame, (HEIGHT, WIDTH)).astype(np.uint8)
        cv2.imwrite(str(folder / f"frame_{frame:05d}.png"), ramp)
    assert find_control(tmp_path / "v.mp4") == folder
    return folder


def put(place: Path, frame: int, picture: np.ndarray) -> None:
    cv2.imwrite(str(place / f"frame_{frame:05d}.png"), picture)


def test_frames_are_taken_by_number_and_cropped_in_the_middle(place: Path) -> None:
    control = read_control(place, [1, 1, 3], INFO, (12, 12))
    assert control.shape == (3, 12, 12)
    # The middle 24 of 40 columns at half their size: means of two neighbours, from 8 and 9.
    wanted = 8.5 + 2 * np.arange(12)
    for row, frame in zip(control, (1, 1, 3), strict=True):
        assert np.abs(row - (wanted + 40 * frame)).max() <= 0.5


@pytest.mark.parametrize("form", ["rgb", "alpha", "deep"])
def test_colours_are_red_green_blue_and_deep_pictures_are_cut_to_eight_bits(form: str, place: Path) -> None:
    colour = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    colour[..., 2], colour[..., 1] = 200, 100  # OpenCV writes blue first
    if form == "alpha":
        colour = np.concatenate([colour, np.full((HEIGHT, WIDTH, 1), 7, np.uint8)], -1)
    for frame in range(4):
        put(place, frame, colour.astype(np.uint16) * 257 if form == "deep" else colour)
    control = read_control(place, [0, 3], INFO, (HEIGHT, WIDTH))
    assert control.dtype == np.uint8
    assert (control == np.array([200, 100, 0])).all()


def test_what_is_wrong_is_said(place: Path, tmp_path: Path) -> None:
    with pytest.raises(BadControl, match=r"^no condition beside w.mp4: wanted w.control/"):
        find_control(tmp_path / "w.mp4")
    put(place, 2, np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    with pytest.raises(BadControl, match=r"^v.control: got grey pictures and others"):
        read_control(place, [1, 2], INFO, (12, 12))
    put(place, 2, np.zeros((HEIGHT, 7), np.uint8))
    with pytest.raises(BadControl, match=r"^frame_00002.png: got 7x24 px, wanted 40x24"):
        read_control(place, [1, 2], INFO, (12, 12))
    (place / "frame_00002.png").write_bytes(b"no picture")
    with pytest.raises(BadControl, match=r"^frame_00002.png: absent, or no picture"):
        read_control(place, [1, 2], INFO, (12, 12))
    put(place, 4, np.zeros((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(BadControl, match=r"^v.control: got 5 pictures frame_\*.png, wanted 4"):
        read_control(place, [1], INFO, (12, 12))
