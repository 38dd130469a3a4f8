"""Names of things: what decides a result decides its key, and nothing else does."""

import hashlib
import json
from collections.abc import Mapping
from io import BufferedIOBase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode
"""Made once: `json.dumps` would make an encoder a call, which takes longer than the hash."""


def content_id(stream: BufferedIOBase) -> str:
    """Return the sha256 of a stream's bytes, in hex: the identity of a source, wherever it lies."""
    return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(parts: Mapping[str, Any]) -> str:
    """Return the sha256 of the parts of a config (and stage versions, and weights) that can change a result.

    The parts must be JSON values; their order does not matter.
    """
    return hashlib.sha256(_ENCODE(parts).encode()).hexdigest()


def item_key(*parts: Any) -> str:
    """Return the key of a work item: the sha256 of its content id, window, fingerprint and whatever else names it."""
    return fingerprint({"item": parts})


def item_keys(columns: "pa.Table", *common: str) -> "pa.Array":
    """Return the `item_key` of every row, for millions of them: of its values, then of what is common to all rows.

    Columns hold text or whole numbers, and nulls. The JSON is joined from columns, without an object for each value.
    """
    import pyarrow as pa

    from pipelines.arrow import compute

    texts = [_json_texts(column) for column in columns.columns]
    ends = pa.scalar(",".join(["", *map(_ENCODE, common)]) + "]}")
    joined = compute.binary_join_element_wise(*texts, ",")
    whole = compute.binary_join_element_wise(pa.scalar('{"item":['), joined, ends, "")
    keys = [hashlib.sha256(text).hexdigest() for text in whole.cast(pa.binary()).to_pylist()]
    return pa.array(keys, pa.string())


def _json_texts(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """Return each value as JSON; a value that comes again is written once."""
    import pyarrow as pa

    from pipelines.arrow import compute

    text = column.cast(pa.string())
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return compute.fill_null(text, "null")
    found = text.combine_chunks().dictionary_encode()
    texts = pa.array([_ENCODE(value) for value in found.dictionary.to_pylist()], pa.string())
    return pa.chunked_array([compute.fill_null(texts.take(found.indices), "null")])
