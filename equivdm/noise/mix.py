"""The mix of motion-locked and independent noise."""

from math import sqrt
from typing import Any, TypeVar, cast

from equivdm.noise.checks import check_beta

Noise = TypeVar("Noise")
"""A numpy array or a torch tensor; importing this module loads no torch."""


def mix(warped: Noise, independent: Noise, beta: float) -> Noise:
    """Return eps = beta * warped + sqrt(1 - beta^2) * independent, elementwise, in the dtype of the two.

    Both are unit normal and independent of each other, so eps is unit normal; along the motion its correlation is
    beta^2 times that of the warped noise. beta in [0, 1], else ValueError.
    """
    check_beta(beta)
    return cast(Any, warped) * beta + cast(Any, independent) * sqrt(1 - beta * beta)
