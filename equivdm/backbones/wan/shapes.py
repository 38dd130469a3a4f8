"""Sizes and shapes of Wan 2.1."""

from jaxtyping import Bool, Float
from torch import Tensor

WORDS = 512
"""Tokens of a prompt, padding included."""

CONTROL_CHANNELS = 96
"""Of VACE's control: 16 of latents that stay, 16 of latents to be repainted, 8 x 8 pixels of the mask."""

TextEmbeddings = Float[Tensor, "batch words features"]
"""Prompts as UMT5 sees them; rows of padding are zero."""

VaceControl = Float[Tensor, "batch planes latent_frames latent_rows latent_columns"]
"""What VACE is shown, on the grid of the latents: inactive and reactive latents, mask: `CONTROL_CHANNELS` planes."""

PixelMask = Bool[Tensor, "batch length tall wide"]
"""True where a pixel is to be generated, False where it stays; at the size of the video."""
