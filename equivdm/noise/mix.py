"""The mix of motion-locked and independent noise."""

from math import sqrt
from typing import TypeVar

import numpy as np
from torch import Tensor

from equivdm.noise.checks import check_beta

Noise = TypeVar("Noise", np.ndarray, Tensor)


def mix(warped: Noise, independent: Noise, beta: float) -> Noise:
    """Return eps = beta * warped + sqrt(1 - beta^2) * independent, elementwise, in the dtype of the two.

    Both are unit normal and independent of each other, so eps is unit normal; along the motion its correlation is
    beta^2 times that of the warped noise. beta in [0, 1], else ValueError.
    """
    check_beta(beta)
    return warped * beta + independent * sqrt(1 - beta * beta)
