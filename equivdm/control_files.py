"""Conditions that lie beside a video, such as a renderer's depth, at the frames and the size of a clip."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from equivdm.arrays import ControlMap
from equivdm.errors import BadControl
from equivdm.video.crop import centred_crop
from equivdm.video.frame import Fit, Size
from equivdm.video.probe import VideoInfo


def find_control(video: Path) -> Path:
    """Return the folder `NAME.control` beside NAME.mp4. Raises BadControl where there is none."""
    place = video.with_suffix(".control")
    if place.is_dir():
        return place
    raise BadControl(f"no condition beside {video.name}: wanted {place.name}/ with frame_00000.png and so on")


def read_control(place: Path, indices: Sequence[int], video: VideoInfo, size: Size | Fit) -> ControlMap:
    """Return the pictures of a clip's frames, cropped and scaled as `decode` does those of the video.

    Grey pictures give one channel, others RGB. Pictures of 16 bits are cut to their upper eight; transparency is left
    out.

    Args:
        place: what `find_control` returns: `frame_00000.png`, ... one for each frame of the video.
        indices: frame numbers of the clip.
        video: what `probe` says of the video.
        size: (height, width) of the clip, or how a model's frames lie on the video.

    Raises:
        BadControl: for pictures that are absent, damaged, of another number or size, or some grey and some not.
    """
    frames = len(video.timestamps)
    if (found := len(list(place.glob("frame_*.png")))) != frames:
        raise BadControl(f"{place.name}: got {found} pictures frame_*.png, wanted {frames}, one a frame of the video")
    pictures = [_fitted(_read(place / f"frame_{index:05d}.png", video), video, size) for index in indices]
    if len({picture.shape for picture in pictures}) > 1:
        raise BadControl(f"{place.name}: got grey pictures and others, wanted all alike: convert the grey ones")
    return np.stack(pictures)


def _read(path: Path, video: VideoInfo) -> np.ndarray:
    # Eight bits, grey or BGR as the file has it.
    picture = cv2.imread(str(path), cv2.IMREAD_ANYCOLOR)
    if picture is None:
        raise BadControl(f"{path.name}: absent, or no picture: wanted one for each frame of the video")
    if picture.shape[:2] != (video.height, video.width):
        got, wanted = f"{picture.shape[1]}x{picture.shape[0]}", f"{video.width}x{video.height}"
        raise BadControl(f"{path.name}: got {got} px, wanted {wanted} as the upright video has")
    return picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def _fitted(picture: np.ndarray, video: VideoInfo, size: Size | Fit) -> np.ndarray:
    if isinstance(size, Fit):
        return size.apply_map(picture)
    crop = centred_crop(video.height, video.width, video.aspect, size)
    # Cubic interpolation, which pictures are enlarged by, would overshoot at the edges of objects.
    interpolation = cv2.INTER_AREA if crop.shrinks_to(size) else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(picture[crop.part]), size[::-1], interpolation=interpolation)
