"""Sizes of the networks. The defaults are the public 320x512 checkpoint's; smaller ones are the same code. No torch."""

from dataclasses import dataclass

GROUPS = 32
"""Groups of every group normalisation."""


@dataclass(frozen=True)
class _Levels:
    """What both networks have: levels of convolutions, from fine to coarse."""

    latents: int = 4
    """Channels of the latents."""
    width: int = 320
    """Channels of the finest level; a multiple of 32."""
    factors: tuple[int, ...] = (1, 2, 4, 4)
    """Channels of each level in multiples of `width`, from fine to coarse; each has half the rows of the one before."""
    blocks: int = 2
    """Residual blocks of a level on the way to the coarsest; on the way back there is one more."""

    def __post_init__(self) -> None:
        _check_width(self.width, GROUPS)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(self.width * factor for factor in self.factors)

    @property
    def stride(self) -> int:
        """Rows and columns of the finest level to one of the coarsest."""
        return 2 ** (len(self.factors) - 1)


@dataclass(frozen=True)
class UNetSizes(_Levels):
    """Sizes of the UNet; latents come in multiples of `stride`. Raises ValueError where the widths do not divide."""

    attending: int = 3
    """Levels with attention, counted from the finest. The middle always has it."""
    head_width: int = 64
    """Channels of an attention head, of which `width` is a multiple too."""
    text_width: int = 1024
    """Channels of the text encoder's output."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_width(self.width, self.head_width)


@dataclass(frozen=True)
class AutoencoderSizes(_Levels):
    """Sizes of the autoencoder; a latent cell has `stride` pixels a side. Raises ValueError where the width does not
    divide."""

    width: int = 128
    """Channels of the finest level; a multiple of 32."""


@dataclass(frozen=True)
class TextSizes:
    """Sizes of the text encoder. Raises ValueError where the heads do not divide the width."""

    width: int = 1024
    """Channels, as many as the UNet's `text_width`."""
    blocks: int = 24
    """Blocks in the file; the last one is not used."""
    heads: int = 16
    """Attention heads."""
    words: int = 77
    """Tokens of a prompt, its begin and end included."""
    vocabulary: int = 49408
    """Number of tokens."""

    def __post_init__(self) -> None:
        _check_width(self.width, self.heads)
        if self.blocks < 2:
            raise ValueError(f"blocks: got {self.blocks}, wanted at least 2: the last one is not used")


def _check_width(width: int, divisor: int) -> None:
    if width < 1 or width % divisor:
        raise ValueError(f"width: got {width}, wanted a multiple of {divisor}: choose one that is")
