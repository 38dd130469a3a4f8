"""Distances between two sets of videos, by what a network sees in them: Fréchet from streamed sums, and KID."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from equivdm.arrays import Features

Mean = Float64[np.ndarray, " features"]
Covariance = Float64[np.ndarray, "features features"]
Rows = Float64[np.ndarray, "_ features"]

SUBSETS = 100
"""Of KID: subsets that its mean is taken over, as in the paper."""

SUBSET = 1000
"""Of KID: features of a subset, fewer where there are not as many."""

_NONE = "features: got none, wanted those of some videos"


@dataclass(frozen=True)
class Moments:
    """Number, sum and sum of outer products of features: all that their mean and covariance need.

    Sums of parts, in any order and on any machine, add up to those of the whole, but for rounding in float64.
    """

    count: int
    total: Mean
    products: Covariance

    @classmethod
    def of(cls, features: Features) -> "Moments":
        """Return the moments of some features."""
        rows = features.astype(np.float64)
        return cls(len(rows), rows.sum(0), rows.T @ rows)

    def merge(self, other: "Moments") -> "Moments":
        """Return the moments of both sets of features together."""
        return Moments(self.count + other.count, self.total + other.total, self.products + other.products)

    def add(self, features: Features) -> "Moments":
        """Return the moments with some more features."""
        return self.merge(Moments.of(features))

    @property
    def mean(self) -> Mean:
        """Their mean."""
        return self.total / self.count

    @property
    def covariance(self) -> Covariance:
        """Their unbiased covariance, as of numpy.cov. ValueError for fewer than two."""
        if self.count < 2:
            raise ValueError(f"features: got {self.count}, wanted at least 2: a covariance needs more videos")
        return (self.products - np.outer(self.total, self.mean)) / (self.count - 1)


def moments(parts: Iterable[Features]) -> Moments:
    """Return the moments of features that come in parts; one part is in hand at a time. ValueError for none."""
    stream = iter(parts)
    first = next(stream, None)
    if first is None:
        raise ValueError(_NONE)
    sums = Moments.of(first)
    for part in stream:
        sums = sums.add(part)
    return sums


def frechet_distance(first: Iterable[Features], second: Iterable[Features]) -> float:
    """Fréchet distance between the Gaussians of two sets of features, which are read once, part by part.

    Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium", 2017, eq. 6
    (FID); Unterthiner et al., "Towards Accurate Generative Models of Video", 2018 (FVD). It is biased: fewer
    videos give larger values, so compare sets of one size, in hundreds at the least.

    Raises ValueError where a set has fewer than two.
    """
    a, b = moments(first), moments(second)
    return gaussian_distance(a.mean, a.covariance, b.mean, b.covariance)


def gaussian_distance(m_a: Mean, c_a: Covariance, m_b: Mean, c_b: Covariance) -> float:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), the squared 2-Wasserstein distance of two Gaussians.

    C_a C_b has the eigenvalues of S C_b S with S = C_a^(1/2), which is symmetric: no complex root of a product that is
    nearly singular, as most covariances of features are.
    """
    root = _root(c_a)
    shared = np.linalg.eigvalsh(root @ c_b @ root)
    gap = m_a - m_b
    return float(gap @ gap + np.trace(c_a) + np.trace(c_b) - 2 * np.sqrt(shared.clip(min=0)).sum())


def kernel_distance(first: Iterable[Features], second: Iterable[Features]) -> float:
    """KID: unbiased squared maximum mean discrepancy with k(x, y) = (x.y / d + 1)^3, mean over 100 subsets.

    Binkowski et al., "Demystifying MMD GANs", 2018. It has no bias by the number of videos, and may fall below 0. Each
    subset has 1000 features of either set, drawn without replacement, or as many as the smaller set has; one subset is
    enough where that is all there is. All features are in memory.

    Raises ValueError where a set has fewer than two.
    """
    a, b = (_together(parts) for parts in (first, second))
    size = min(SUBSET, len(a), len(b))
    if size < 2:
        raise ValueError(f"features: got {len(a)} and {len(b)}, wanted at least 2 of each: measure more videos")
    random = np.random.default_rng(0)
    subsets = 1 if size == len(a) == len(b) else SUBSETS
    draws = [(random.permutation(len(a))[:size], random.permutation(len(b))[:size]) for _ in range(subsets)]
    return float(np.mean([squared_discrepancy(a[i].astype(np.float64), b[j].astype(np.float64)) for i, j in draws]))


def _together(parts: Iterable[Features]) -> Features:
    every = list(parts)
    if not every:
        raise ValueError(_NONE)
    return np.concatenate(every)


def squared_discrepancy(x: Rows, y: Rows) -> float:
    """The unbiased estimator of MMD^2, its eq. 4: over pairs of x and y, and of two different ones of either."""
    return _mean_of_others(_kernel(x, x)) + _mean_of_others(_kernel(y, y)) - 2 * float(_kernel(x, y).mean())


def _kernel(x: Rows, y: Rows) -> Float64[np.ndarray, "_ _"]:
    base = x @ y.T / x.shape[1] + 1
    return base * base * base  # a power takes twenty times as long


def _mean_of_others(kernel: Float64[np.ndarray, "number number"]) -> float:
    number = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (number * (number - 1)))


def _root(covariance: Covariance) -> Covariance:
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
