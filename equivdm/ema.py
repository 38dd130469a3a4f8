"""Moving average of a model's weights, which is what gets sampled and exported."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def warmed_decay(decay: float, updates: int) -> float:
    """min(decay, (1 + n) / (10 + n)) after n updates, so that the initial weights are soon forgotten."""
    return min(decay, (1 + updates) / (10 + updates))


class Ema:
    """theta' <- d theta' + (1 - d) theta, kept in float32 beside the model.

    The weights are given by name: a model's `state_dict()`, or any part of each that is always the same one.
    """

    def __init__(self, weights: Mapping[str, Tensor], decay: float) -> None:
        """Start from a copy of the weights. Raises ValueError where `decay` is not in [0, 1)."""
        if not 0 <= decay < 1:
            raise ValueError(f"got decay {decay}, wanted 0 <= decay < 1: 0 keeps the last weights")
        self.decay = decay
        self._average = {name: _copy(value) for name, value in weights.items()}

    @torch.no_grad()
    def update(self, weights: Mapping[str, Tensor], step: int) -> None:
        """Take the weights after optimizer step number `step`, counted from 0."""
        weight = 1 - warmed_decay(self.decay, step)
        for name, value in weights.items():
            average = self._average[name]
            if average.is_floating_point():
                average.lerp_(value.to(average), weight)
            else:
                average.copy_(value)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the averaged weights under the model's own names."""
        return dict(self._average)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over a saved average. Raises ValueError where its names are not the model's."""
        if state.keys() != self._average.keys():
            odd = sorted(state.keys() ^ self._average.keys())
            raise ValueError(f"got an average with other weights than the model's ({', '.join(odd[:4])}): load its own")
        for name, value in state.items():
            self._average[name].copy_(value)

    def copy_to(self, model: nn.Module) -> None:
        """Give the averaged weights to `model`, in its own precision."""
        model.load_state_dict(self._average)


def _copy(value: Tensor) -> Tensor:
    copy = value.detach().clone()
    return copy.float() if copy.is_floating_point() else copy
