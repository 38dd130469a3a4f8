"""Flow at a fraction of its size, for storage: a motion plan needs no more than a few vectors a latent cell."""

import numpy as np
from einops import reduce
from jaxtyping import Float, Float16, Float32

from equivdm.arrays import Flow

Reduced = Float16[np.ndarray, "steps rows columns 2"]
"""Flow in units of its own, larger pixels."""


def shrink_flow(flow: Flow, divisor: int) -> Reduced:
    """Return the mean of each block of `divisor` x `divisor` pixels, in pixels of the smaller frame.

    Half precision keeps 11 bits: an error of at most 1/2048 of a component.

    Args:
        flow: displacements in pixels.
        divisor: a divisor of both sides.

    Raises:
        ValueError: where it divides a side with a remainder.
    """
    height, width = flow.shape[1:3]
    if divisor < 1 or height % divisor or width % divisor:
        raise ValueError(f"divisor: got {divisor} for flow of {width}x{height} px, wanted a divisor of both sides")
    blocks = reduce(flow, "t (h a) (w b) c -> t h w c", "mean", a=divisor, b=divisor)
    return (blocks / divisor).astype(np.float16)


def enlarge_flow(flow: Float[np.ndarray, "steps rows columns 2"], size: tuple[int, int]) -> Flow:
    """Return flow at `size` (height, width), in pixels of that size: linear between the middles of the small pixels.

    Beyond the outermost middles it goes on as it came, so that a zoom or a turn comes back whole.
    """
    rows, columns = flow.shape[1:3]
    enlarged = _along(_along(flow.astype(np.float32), 1, size[0]), 2, size[1])
    return enlarged * np.array([size[1] / columns, size[0] / rows], np.float32)


def _along(flow: Flow, axis: int, length: int) -> Float32[np.ndarray, "steps _ _ 2"]:
    """Interpolate linearly along one axis."""
    count = flow.shape[axis]
    if count == 1:
        return np.repeat(flow, length, axis)
    place = (np.arange(length) + 0.5) * count / length - 0.5
    before = np.clip(np.floor(place).astype(np.intp), 0, count - 2)
    shape = [1] * flow.ndim
    shape[axis] = length
    share = (place - before).astype(np.float32).reshape(shape)
    first, second = np.take(flow, before, axis), np.take(flow, before + 1, axis)
    return first + share * (second - first)
