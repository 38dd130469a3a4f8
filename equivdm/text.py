"""Captions as tokens: each word is hashed into a fixed vocabulary, so that no word list has to be kept."""

import re
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from jaxtyping import Int64

WORDS = 16
"""Tokens of a caption; later words are dropped, missing ones are 0."""

VOCABULARY = 1024
"""Number of tokens, 0 (padding) included."""


def tokenize(caption: str) -> list[int]:
    """Return `WORDS` tokens of a caption, 1 to VOCABULARY - 1, padded with 0. Case does not matter."""
    words = re.findall(r"\w+", caption.lower())[:WORDS]
    tokens = [1 + _hash(word) % (VOCABULARY - 1) for word in words]
    return tokens + [0] * (WORDS - len(tokens))


def token_rows(captions: Sequence[str]) -> list[Int64[np.ndarray, " words"]]:
    """Return the tokens of captions as they are stored."""
    return [np.array(tokenize(caption), np.int64) for caption in captions]


def _hash(word: str) -> int:
    return int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "big")
