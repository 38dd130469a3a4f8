"""The model's frames and the source's: which part of a picture a model is shown, at which size, and back again."""

import math
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
from jaxtyping import Float32, Shaped, UInt8

from equivdm.arrays import Picture
from equivdm.errors import UnsupportedVideo
from equivdm.render_config import FrameConfig
from equivdm.video.crop import Crop, centred_crop

Size = tuple[int, int]
"""Height and width in pixels."""

AnyPicture = UInt8[np.ndarray, "_ _ 3"]
AnyFrames = UInt8[np.ndarray, "time _ _ 3"]
"""RGB of one size before, and of another after."""

Field = Float32[np.ndarray, "_ _ 2"]
"""One step of flow, likewise."""

AnyMap = Shaped[np.ndarray, "_ _ *channels"]
"""Numbers of any kind for each pixel."""

_LARGEST = 16384
"""Pixels along a side that H.264 can have at most."""


@dataclass(frozen=True)
class Fit:
    """How a displayed picture and a model's frame lie on each other: `part` of the one is `inner` of the other."""

    display: Size
    """Size of the source as displayed: upright, in square pixels."""
    part: Crop
    """What is shown of the displayed picture."""
    size: Size
    """Size of the model's frames."""
    inner: Crop
    """Where in them it is shown; around it lies the border, which repeats the outermost pixels."""
    output: Size
    """Size of what `undo` returns."""

    def apply(self, picture: AnyPicture) -> Picture:
        """Return the model's frame of an upright picture, whose pixels need not be square."""
        shown = np.ascontiguousarray(picture[self._stored(picture.shape[0], picture.shape[1]).part])
        return self._bordered(_scaled(shown, (self.inner.rows, self.inner.columns)))

    def apply_map(self, values: AnyMap) -> AnyMap:
        """Return on the model's frame what lies on the upright picture: flow, in its own pixels, or a condition."""
        crop, size = self._stored(values.shape[0], values.shape[1]), (self.inner.rows, self.inner.columns)
        # Cubic interpolation, which pictures are enlarged by, would overshoot at the edges of objects.
        interpolation = cv2.INTER_AREA if crop.shrinks_to(size) else cv2.INTER_LINEAR
        part = np.ascontiguousarray(values[crop.part])
        return self._bordered(cv2.resize(part, size[::-1], interpolation=interpolation))

    def apply_flow(self, field: Field) -> Field:
        """Return flow on the model's frame, in its pixels, of flow on the upright picture, in pixels of that."""
        crop = self._stored(field.shape[0], field.shape[1])
        longer = (self.inner.columns / crop.columns, self.inner.rows / crop.rows)
        return self.apply_map(field) * np.array(longer, np.float32)

    def undo(self, frames: AnyFrames) -> AnyFrames:
        """Return the model's frames at the size `output`: as they are, or as the shown part of the displayed source."""
        if self.output == self.size:
            return frames
        inner = frames[:, *self.inner.part]
        return np.stack([_scaled(np.ascontiguousarray(frame), self.output) for frame in inner])

    def _bordered(self, inner: np.ndarray) -> np.ndarray:
        below, right = (whole - part for whole, part in zip(self.size, _end(self.inner), strict=True))
        # A black border would be an edge to controls, and a still region to the flow; repeated pixels are neither.
        return cv2.copyMakeBorder(inner, self.inner.top, below, self.inner.left, right, cv2.BORDER_REPLICATE)

    def _stored(self, rows: int, columns: int) -> Crop:
        """The part in the pixels of a picture of another size."""
        top, left = _moved((self.part.top, self.part.left), self.display, (rows, columns))
        bottom, right = _moved(_end(self.part), self.display, (rows, columns))
        top, left = min(top, rows - 1), min(left, columns - 1)
        return Crop(top, left, max(1, bottom - top), max(1, right - left))


Shape = Size | Fit | None
"""What is made of a picture: (height, width) to fill, a model's frame, or the picture as it is."""


def fit(display: Size, config: FrameConfig, multiple: int) -> Fit:
    """Lay a displayed picture on a model's frame.

    Args:
        display: (height, width) of the source as displayed (`VideoInfo.display_height`, `display_width`).
        config: size, rule, and size of the output.
        multiple: what the sides of the model's frames are multiples of.

    Raises:
        UsageError: for a given size that is no such multiple.
        UnsupportedVideo: for a shape so long that nothing, or less than a pixel, of it could be shown.
        ValueError: for a size or a multiple below 1.
    """
    if min(*display, multiple) < 1:
        raise ValueError(f"got the size {display} and multiples of {multiple}: at least 1")
    config.check_multiple(multiple)
    size = _model_size(display, config, multiple)
    if max(size) > _LARGEST:
        raise UnsupportedVideo(
            f"a picture of {display[1]}x{display[0]} pixels would be {size[1]}x{size[0]} to the model, wanted at most "
            f"{_LARGEST} a side: give both height and width"
        )
    part, inner = Crop(0, 0, *display), Crop(0, 0, *size)
    # At the source's own size its pixels stay what they are.
    own = config.height is None and config.width is None
    if config.rule == "crop":
        part = _middle(display, size) if own and part.shrinks_to(size) else _part_of_shape(display, size)
    elif config.rule == "pad":
        inner = _middle(size, display) if own else _part_of_shape(size, display)
    return Fit(display, part, size, inner, size if config.output == "model" else (part.rows, part.columns))


def _model_size(display: Size, config: FrameConfig, multiple: int) -> Size:
    # Of one given side, the other follows.
    scale = Fraction(config.width, display[1]) if config.width else Fraction(1)
    scale = Fraction(config.height, display[0]) if config.height else scale
    height = config.height or _rounded(scale * display[0], config, multiple)
    return height, config.width or _rounded(scale * display[1], config, multiple)


def _rounded(length: Fraction, config: FrameConfig, multiple: int) -> int:
    whole = {"crop": math.floor, "pad": math.ceil, "stretch": round}[config.rule]
    return multiple * max(1, whole(length / multiple))


def _middle(whole: Size, size: Size) -> Crop:
    return Crop((whole[0] - size[0]) // 2, (whole[1] - size[1]) // 2, *size)


def _part_of_shape(whole: Size, shape: Size) -> Crop:
    """The largest centred part of that shape; refused where it would be thinner than half a pixel."""
    scale = min(whole[0] / shape[0], whole[1] / shape[1])
    if min(shape) * scale < 0.5:
        raise UnsupportedVideo(
            f"a picture of {whole[1]}x{whole[0]} pixels cannot hold the shape {shape[1]}x{shape[0]}: less than a pixel "
            "would be shown; give height and width of a shape like the video's, or leave it out"
        )
    return centred_crop(*whole, 1.0, shape)


def _scaled(picture: AnyPicture, size: Size) -> AnyPicture:
    if picture.shape[:2] == size:
        return picture
    shrinks = Crop(0, 0, *picture.shape[:2]).shrinks_to(size)
    return cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def _end(crop: Crop) -> Size:
    return crop.top + crop.rows, crop.left + crop.columns


def _moved(point: Size, old: Size, new: Size) -> Size:
    rows, columns = (round(at * after / before) for at, before, after in zip(point, old, new, strict=True))
    return rows, columns
