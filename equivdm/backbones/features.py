"""What a network's inner layers say: features of a noisy video, for a head that judges it."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from equivdm.backbones.base import DenoiserModule, Features


@contextmanager
def listening(denoiser: DenoiserModule, batch: int) -> Iterator[list[Features]]:
    """Collect the features of a call within, on `batch` videos, with gradient where the call has one.

    There is one entry for each of `denoiser.feature_layers`, in their order.
    """
    found: list[Features] = []

    def keep(layer: nn.Module, inputs: object, output: Tensor) -> None:
        del layer, inputs
        found.append(denoiser.as_features(output, batch))

    hooks = [denoiser.get_submodule(name).register_forward_hook(keep) for name in denoiser.feature_layers]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
