"""How seeds are combined: one hash, so that no two uses share a stream by accident."""

from hashlib import blake2b


def derive_seed(*parts: str | int) -> int:
    """Return a seed in [0, 2^63) that depends on every part, its type and its place.

    `derive_seed(7, "noise", key)` is the same number on every machine and in every process.
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
