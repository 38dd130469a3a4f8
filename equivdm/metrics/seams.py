"""Seams of a long video: does the picture follow the motion as well where windows meet as elsewhere?"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float32

from equivdm.arrays import Picture
from equivdm.flow import in_frame, warp_back

Step = tuple[Float32[np.ndarray, "height width 2"], Bool[np.ndarray, "height width"]]
"""Driving motion from a frame back to the one before, px, and the pixels that the one before hides."""


def temporal_errors(frames: Iterable[Picture], steps: Iterable[Step]) -> Iterator[float]:
    """Yield for each step the mean |f(k) - f(k-1) carried along the driving motion| over visible pixels, in levels.

    Two frames are in hand at a time. NaN where a step shows no pixel twice. ValueError where there are not as many
    steps as lead from the first frame to the last.
    """
    for (old, new), (back, hidden) in zip(pairwise(frames), steps, strict=True):
        seen = ~hidden & in_frame(back)
        difference = np.abs(new - warp_back(old, back))[seen]
        yield float(difference.mean(dtype=np.float64)) if difference.size else float("nan")


def seam_ratio(errors: Sequence[float], seams: Collection[int]) -> float:
    """Return the mean error of the steps in `seams` (see `equivdm.spans.seams_of`) over the mean of the others.

    Steps without a number are left out. Raises ValueError where either has none left, or the others no error at all.
    """
    every = np.asarray(errors, np.float64)
    inside = np.isin(np.arange(len(every)), list(seams))
    known = np.isfinite(every)
    at_seams, elsewhere = every[inside & known], every[~inside & known]
    if not at_seams.size or not elsewhere.any():
        raise ValueError(
            f"seams: got errors of {at_seams.size} steps at seams and {elsewhere.size} elsewhere, wanted some of each, "
            "elsewhere above 0: measure a video of several windows that moves"
        )
    return float(at_seams.mean() / elsewhere.mean())
