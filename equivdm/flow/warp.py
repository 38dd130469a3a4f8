"""Geometry of a flow field: where pixels land, what is seen there, and whether it is the same material."""

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from equivdm.arrays import Flow, Mask

Field = Float[np.ndarray, "height width 2"]
"""The flow of one step."""


def in_frame(flow: Field) -> Bool[np.ndarray, "height width"]:
    """Say which pixels land inside the frame.

    Pixel centres lie on whole numbers, so the frame reaches from -0.5 to width - 0.5.
    """
    height, width = flow.shape[:2]
    x, y = _landing(flow)
    return (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)


def warp_back(
    picture: Float[np.ndarray, "height width *channels"] | UInt8[np.ndarray, "height width *channels"],
    flow: Field,
) -> Float32[np.ndarray, "height width *channels"]:
    """Sample a picture at p + flow(p), bilinearly; positions beyond the border take the border's value.

    With the forward flow of frame k and frame k + 1 as picture this rebuilds frame k. cv2.remap would be faster, but it
    rounds positions to 1/32 px, which a measurement of motion must not do.

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
    x, y = _landing(flow)
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    left, top = x.astype(np.intp), y.astype(np.intp)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    trailing = (1,) * (picture.ndim - 2)
    a = (x - left).astype(np.float32).reshape(height, width, *trailing)
    b = (y - top).astype(np.float32).reshape(height, width, *trailing)
    upper = picture[top, left] * (1 - a) + picture[top, right] * a
    lower = picture[bottom, left] * (1 - a) + picture[bottom, right] * a
    return (upper * (1 - b) + lower * b).astype(np.float32, copy=False)


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
    return np.stack([_occluded(f, b, absolute, relative) for f, b in zip(flow, reverse, strict=True)])


def _occluded(flow: Field, reverse: Field, absolute: float, relative: float) -> Bool[np.ndarray, "height width"]:
    seen = in_frame(flow)
    flow = np.where(seen[..., None], flow, np.float32(0))
    back = warp_back(reverse, flow)
    gap = np.square(flow + back).sum(-1)
    slack = absolute + relative * (np.square(flow).sum(-1) + np.square(back).sum(-1))
    return ~(seen & (gap <= slack))  # a comparison with an unknown vector is false


def _landing(flow: Field) -> tuple[Float[np.ndarray, "height width"], Float[np.ndarray, "height width"]]:
    height, width = flow.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    return columns + flow[..., 0].astype(np.float64), rows + flow[..., 1].astype(np.float64)
