"""Prompts as UMT5 embeddings, made as Wan's pipelines make them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float16, Int64
from torch import Tensor, nn

from equivdm.backbones.prompts import clean
from equivdm.backbones.wan.shapes import WORDS, TextEmbeddings


class WanText:
    """Tokenizer and text encoder. The encoder is frozen, and computes on its own device and in its own precision."""

    def __init__(self, tokenizer: Any, encoder: nn.Module, words: int = WORDS) -> None:
        """Take what transformers loads, and the number of tokens that prompts are cut or padded to, at least 1."""
        if words < 1:
            raise ValueError(f"words: got {words}, wanted at least 1: give {WORDS}, as Wan is trained with")
        self.tokenizer, self.words = tokenizer, words
        self.encoder: Any = encoder.eval().requires_grad_(False)

    def __call__(self, prompts: Sequence[str]) -> TextEmbeddings:
        """Return the embeddings of prompts, zero where a prompt has ended; "" is the empty prompt of guidance.

        Raises ValueError for no prompt.
        """
        return self._encode(prompts)[0]

    def rows(self, prompts: Sequence[str]) -> list[Float16[np.ndarray, "words features"]]:
        """Return the embeddings of each prompt up to its end, as they are stored. Raises ValueError for no prompt."""
        embeddings, kept = self._encode(prompts)
        lengths = kept.sum(1).tolist()
        return [row[:length].half().cpu().numpy() for row, length in zip(embeddings, lengths, strict=True)]

    @torch.no_grad()
    def _encode(self, prompts: Sequence[str]) -> tuple[TextEmbeddings, Int64[Tensor, "batch words"]]:
        if isinstance(prompts, str) or not prompts:
            raise ValueError(f"prompts: got {prompts!r}, wanted a list of at least one: put the prompt in a list")
        tokens = self.tokenizer(
            [clean(prompt) for prompt in prompts],
            padding="max_length",
            max_length=self.words,
            truncation=True,
            return_attention_mask=True,
            return_tensors="pt",
        ).to(self.encoder.device)
        embeddings = self.encoder(tokens.input_ids, tokens.attention_mask).last_hidden_state
        return embeddings.masked_fill(tokens.attention_mask[..., None] == 0, 0), tokens.attention_mask
