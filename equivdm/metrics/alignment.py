"""Motion alignment: does the generated video move as the driving one does?"""

import numpy as np
from jaxtyping import Float32, Float64

from equivdm.metrics.case import Case
from equivdm.metrics.coherence import NOTHING_VISIBLE

Vectors = Float32[np.ndarray, "pixels 2"]


def endpoint_error(case: Case) -> float:
    """Mean distance in pixels between the generated video's flow and the driving one's, where the latter is visible."""
    generated, driving = _visible(case)
    return float(np.linalg.norm(generated - driving, axis=-1).mean())


def angular_error(case: Case) -> float:
    """Mean angle in degrees between the directions in space and time, (u, v, 1), of the two flows, likewise.

    Barron, Fleet and Beauchemin, "Performance of Optical Flow Techniques", 1994. The 1 is a frame: an error of a slow
    motion weighs more than the same error of a fast one, and stillness has a direction too.
    """
    generated, driving = (_with_time(vectors) for vectors in _visible(case))
    # The tangent's two sides: an arc cosine loses half of the digits where the two agree.
    across = np.linalg.norm(np.cross(generated, driving), axis=-1)
    return float(np.degrees(np.arctan2(across, (generated * driving).sum(axis=-1))).mean())


def _visible(case: Case) -> tuple[Vectors, Vectors]:
    """Return both motions at the pixels that the next driving frame shows."""
    visible = ~case.driving.occluded_forward
    if not visible.any():
        raise ValueError(NOTHING_VISIBLE)
    return case.estimated.forward[visible], case.driving.forward[visible]


def _with_time(vectors: Vectors) -> Float64[np.ndarray, "pixels 3"]:
    return np.concatenate([vectors, np.ones_like(vectors[:, :1])], axis=1, dtype=np.float64)
