"""Geometry of a flow field: where pixels land, what is seen there, and whether it is the same material."""

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from equivdm.arrays import Flow, Mask
from equivdm.compiled import inlined, kernel

Field = Float[np.ndarray, "height width 2"]
"""The flow of one step."""


def in_frame(flow: Field) -> Bool[np.ndarray, "height width"]:
    """Say which pixels land inside the frame; a vector that is not known (NaN) lands nowhere.

    Pixel centres lie on whole numbers, so the frame reaches from -0.5 to width - 0.5.
    """
    inside = np.empty(flow.shape[:2], bool)
    _find_inside(_plain(flow), inside)
    return inside


def warp_back(
    picture: Float[np.ndarray, "height width *channels"] | UInt8[np.ndarray, "height width *channels"],
    flow: Field,
) -> Float32[np.ndarray, "height width *channels"]:
    """Sample a picture at p + flow(p), bilinearly; positions beyond the border take the border's value, those that are
    not known (NaN) become NaN.

    With the forward flow of frame k and frame k + 1 as picture this rebuilds frame k. cv2.remap rounds positions to
    1/32 px, which a measurement of motion must not do.

    Args:
        picture: any number of channels, or none.
        flow: displacement (u, v) in pixels.

    Raises:
        ValueError: where the sizes differ.
    """
    height, width = picture.shape[:2]
    if flow.shape != (height, width, 2):
        raise ValueError(
            f"got a flow of shape {flow.shape} for a picture of {picture.shape}: pass ({height}, {width}, 2)"
        )
    flat = _plain(picture).reshape(height, width, -1)
    sampled = np.empty_like(flat)
    _sample(flat, _plain(flow), sampled)
    return sampled.reshape(picture.shape)


def occlusion(flow: Flow, reverse: Flow, absolute: float, relative: float) -> Mask:
    """Find the pixels that the other frame does not show, by the forward-backward check.

    A pixel is occluded where it leaves the frame, or where following the flow f and then the reverse flow b does not
    lead home: |f + b|^2 > absolute + relative * (|f|^2 + |b|^2), with b taken at the landing point (Sundaram, Brox,
    Keutzer, "Dense Point Trajectories by GPU-Accelerated Large Displacement Optical Flow", 2010).

    Args:
        flow: displacement of every pixel, in pixels.
        reverse: displacement from the other frame back to this one.
        absolute: slack in px^2.
        relative: slack per squared length of the two displacements.

    Returns:
        True for the pixels of the frame where `flow` starts that are not seen in the other one; a vector that is not
        known (NaN) shows nothing.

    Raises:
        ValueError: where the two flows differ in shape.
    """
    if flow.shape != reverse.shape:
        raise ValueError(f"got flows of shapes {flow.shape} and {reverse.shape}: both must be of the same frames")
    hidden = np.empty(flow.shape[:3], bool)
    for step, there, back in zip(hidden, _plain(flow), _plain(reverse), strict=True):
        _find_hidden(there, back, np.float32(absolute), np.float32(relative), step)
    return hidden


def _plain(values: Float[np.ndarray, "..."] | UInt8[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
    """Return the one kind of array that the kernels are compiled for."""
    return np.ascontiguousarray(values, np.float32)


# Positions are in float64: float32 has steps of 1/16384 px at the far end of a wide frame.


@inlined
def _is_inside(place: float, size: int) -> bool:
    return place >= -0.5 and place <= size - 0.5


@inlined
def _within(place: float, size: int) -> float:
    """Clip a position to the centres of the outermost pixels; NaN, which is no index, becomes 0."""
    return min(place, size - 1.0) if place >= 0 else 0.0


@inlined
def _bilinear(picture: Float32[np.ndarray, "height width channels"], x: float, y: float, channel: int) -> np.float32:
    left, top = int(x), int(y)
    right, bottom = min(left + 1, picture.shape[1] - 1), min(top + 1, picture.shape[0] - 1)
    a, b, one = np.float32(x - left), np.float32(y - top), np.float32(1)
    upper = picture[top, left, channel] * (one - a) + picture[top, right, channel] * a
    lower = picture[bottom, left, channel] * (one - a) + picture[bottom, right, channel] * a
    return upper * (one - b) + lower * b


@kernel
def _find_inside(flow: Float32[np.ndarray, "height width 2"], inside: Bool[np.ndarray, "height width"]) -> None:
    height, width = inside.shape
    for row in range(height):
        for column in range(width):
            x, y = column + np.float64(flow[row, column, 0]), row + np.float64(flow[row, column, 1])
            inside[row, column] = _is_inside(x, width) and _is_inside(y, height)


@kernel
def _sample(
    picture: Float32[np.ndarray, "height width channels"],
    flow: Float32[np.ndarray, "height width 2"],
    sampled: Float32[np.ndarray, "height width channels"],
) -> None:
    height, width, channels = picture.shape
    for row in range(height):
        for column in range(width):
            u, v = flow[row, column, 0], flow[row, column, 1]
            x, y = _within(column + np.float64(u), width), _within(row + np.float64(v), height)
            known = not (np.isnan(u) or np.isnan(v))
            for channel in range(channels):
                sampled[row, column, channel] = _bilinear(picture, x, y, channel) if known else np.float32(np.nan)


@kernel
def _find_hidden(
    flow: Float32[np.ndarray, "height width 2"],
    reverse: Float32[np.ndarray, "height width 2"],
    absolute: np.float32,
    relative: np.float32,
    hidden: Bool[np.ndarray, "height width"],
) -> None:
    height, width = hidden.shape
    for row in range(height):
        for column in range(width):
            u, v = flow[row, column, 0], flow[row, column, 1]
            x, y = column + np.float64(u), row + np.float64(v)
            hidden[row, column] = True
            if _is_inside(x, width) and _is_inside(y, height):
                x, y = _within(x, width), _within(y, height)
                back_u, back_v = _bilinear(reverse, x, y, 0), _bilinear(reverse, x, y, 1)
                gap = (u + back_u) * (u + back_u) + (v + back_v) * (v + back_v)
                slack = absolute + relative * (u * u + v * v + back_u * back_u + back_v * back_v)
                hidden[row, column] = not gap <= slack  # a comparison with an unknown vector is false
