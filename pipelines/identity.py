"""Names of things: what decides a result decides its key, and nothing else does."""

import hashlib
import json
from collections.abc import Mapping
from io import BufferedIOBase
from typing import Any


def content_id(stream: BufferedIOBase) -> str:
    """Return the sha256 of a stream's bytes, in hex: the identity of a source, wherever it lies."""
    return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(parts: Mapping[str, Any]) -> str:
    """Return the sha256 of the parts of a config (and stage versions, and weights) that can change a result.

    The parts must be JSON values; their order does not matter.
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def item_key(*parts: Any) -> str:
    """Return the key of a work item: the sha256 of its content id, window, fingerprint and whatever else names it."""
    return fingerprint({"item": parts})
