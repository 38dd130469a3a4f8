"""What is asked of a network's sizes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
"""The projections of an attention layer: ends of their names."""


@dataclass(frozen=True)
class Micro:
    """A micro-batch of one worker: latents of `clips` x `frames` x `rows` x `columns`."""

    clips: int
    frames: int
    rows: int
    columns: int

    @property
    def cells(self) -> int:
        """Latent cells in all."""
        return self.clips * self.frames * self.rows * self.columns


@dataclass(frozen=True)
class Linear:
    """Linear layers of one size: `count` of those whose names end with `name`."""

    name: str
    inputs: int
    outputs: int
    count: int


@runtime_checkable
class Footprint(Protocol):
    """A network's sizes."""

    @property
    def parameters(self) -> int:
        """Number of weights."""
        ...

    @property
    def largest(self) -> int:
        """Number of weights in the largest tensor."""
        ...

    @property
    def linears(self) -> Sequence[Linear]:
        """The layers that adapters are put on by default."""
        ...

    @property
    def features(self) -> Sequence[int]:
        """Channels of the layers that a head on features sees."""
        ...

    def kept(self, micro: Micro, *, mixed: bool, recompute: bool) -> float:
        """Return the bytes that a forward pass keeps for the backward pass.

        Args:
            micro: what it is given.
            mixed: under bfloat16 autocast; else in float32.
            recompute: blocks keep their inputs only; the most that is kept while one is computed again.
        """
        ...

    def flops(self, micro: Micro) -> float:
        """Return the floating-point operations of a forward pass: two to a product and its sum."""
        ...


def adapter_parameters(linears: Sequence[Linear], rank: int) -> int:
    """Return the weights of adapters: rank * (inputs + outputs) a layer."""
    return sum(rank * (layer.inputs + layer.outputs) * layer.count for layer in linears)


def seen_blocks(depth: int) -> list[int]:
    """Return which of a transformer's blocks a head sees: at half of its depth, at three quarters, and the last.

    FastGen's choice for Wan 1.3B: 15, 22 and 29 of 30.
    """
    return sorted({depth // 2, 3 * depth // 4, depth - 1})
