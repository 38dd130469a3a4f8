"""What metrics need: something of the case, a network's weights, a package that is not always installed."""

from importlib.util import find_spec

from equivdm.metrics_config import WeightsConfig
from equivdm.networks.weights import weights_digest

PACKAGES = ("pyiqa", "skimage", "transformers")
"""Packages that some metrics need."""


def available(weights: WeightsConfig) -> frozenset[str]:
    """Return the needs that this process can meet for any case: `weights.NAME`, `package NAME`."""
    paths = {f"weights.{name}" for name, path in weights if path is not None}
    return frozenset(paths | {f"package {name}" for name in PACKAGES if find_spec(name)})


def weights_identity(needs: set[str], weights: WeightsConfig) -> dict[str, str]:
    """Return the sha256 of each network's weights among the needs: what decides values, beside the frames.

    Raises UsageError for weights that cannot be read.
    """
    return {f"weights.{name}": weights_digest(path) for name, path in weights if path and f"weights.{name}" in needs}
