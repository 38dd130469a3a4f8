"""Prompts as OpenCLIP ViT-H/14 sees them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float16, Int64
from torch import Tensor

from equivdm.backbones.prompts import clean
from equivdm.networks.videocrafter2.text import TextTower


class VideoCrafter2Text:
    """Tokenizer and text tower. The tower is frozen, and computes on its own device and in its own precision."""

    def __init__(self, tokenizer: Any, tower: TextTower) -> None:
        """Take a `transformers.CLIPTokenizer` and the tower."""
        self.tokenizer, self.tower = tokenizer, tower

    def tokens(self, prompts: Sequence[str]) -> Int64[Tensor, "prompts words"]:
        """Return begin, words and end of each prompt, cut to the tower's length, the end kept, and padded with 0.

        OpenCLIP's padding: transformers' own would be with the end. Raises ValueError for no prompt.
        """
        if isinstance(prompts, str) or not prompts:
            raise ValueError(f"prompts: got {prompts!r}, wanted a list of at least one: put the prompt in a list")
        length = self.tower.sizes.words
        found = self.tokenizer([clean(prompt) for prompt in prompts], truncation=True, max_length=length).input_ids
        return torch.tensor([row + [0] * (length - len(row)) for row in found])

    @torch.no_grad()
    def __call__(self, prompts: Sequence[str]) -> Float[Tensor, "prompts words features"]:
        """Return the embeddings of prompts; padding has some too, which the UNet was trained to see."""
        return self.tower(self.tokens(prompts).to(self.tower.positional_embedding.device))

    def rows(self, prompts: Sequence[str]) -> list[Float16[np.ndarray, "words features"]]:
        """Return the embeddings of each prompt as they are stored."""
        return [row.half().cpu().numpy() for row in self(prompts)]
