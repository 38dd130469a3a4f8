"""Flow as colours: hue is direction, saturation is speed."""

import numpy as np

from equivdm.arrays import Flow, Frames


def flow_to_rgb(flow: Flow, largest: float | None = None) -> Frames:
    """Paint flow on a colour wheel: hue is the direction, white is rest, full colour is `largest` or faster.

    Args:
        flow: displacements in pixels.
        largest: speed of full colour, in pixels; the 99th percentile of the flow's own speeds where none is given, so
            that one stray vector does not bleach the rest.

    Returns:
        One RGB picture a step.

    Raises:
        ValueError: for a `largest` that is not positive.
    """
    if largest is not None and largest <= 0:
        raise ValueError(f"got largest={largest}: pass a positive speed in pixels, or None")
    speed = np.linalg.norm(flow, axis=-1)
    scale = largest or max(float(np.percentile(speed, 99)), 1e-6)
    hue = np.arctan2(flow[..., 1], flow[..., 0])
    # Three cosines a third of a turn apart make a wheel without the dark spokes of HSV.
    wheel = np.stack([0.5 + 0.5 * np.cos(hue - turn) for turn in (0, 2 * np.pi / 3, 4 * np.pi / 3)], axis=-1)
    colour = 1 - np.minimum(speed / scale, 1)[..., None] * (1 - wheel)
    return np.round(255 * colour).astype(np.uint8)
