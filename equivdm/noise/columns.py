"""Columns of whole numbers as one compact blob, and back."""

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32

Column = Int32[np.ndarray, " _"]
"""Whole numbers of any length."""

_MAGIC = b"EVMP"
_LENGTH = struct.Struct("<QB")
_WIDTHS = {1: np.uint8, 2: np.dtype("<u2"), 4: np.dtype("<u4")}


def pack(columns: Sequence[Column], version: int) -> bytes:
    """Return the columns as bytes: sign folded into the last bit, narrow, low bytes before high ones, then zlib."""
    parts = []
    for column in columns:
        folded = ((column << 1) ^ (column >> 31)).astype(np.uint32)
        width = next(width for width in _WIDTHS if int(folded.max(initial=0)) < 1 << (8 * width))
        planes = folded.astype(_WIDTHS[width]).view(np.uint8).reshape(-1, width).T
        parts += [_LENGTH.pack(len(column), width), planes.tobytes()]
    return _MAGIC + bytes([version]) + zlib.compress(b"".join(parts))


def unpack(data: bytes, version: int) -> list[Column]:
    """Return the columns that `pack` was given; ValueError for bytes that it did not make, or not at this version."""
    if data[:4] != _MAGIC:
        raise ValueError(f"motion plan: got {len(data)} bytes that start with {data[:4]!r}, wanted {_MAGIC!r}")
    if data[4:5] != bytes([version]):
        raise ValueError(f"motion plan: got format {list(data[4:5])}, wanted {version}; make the plan again")
    stream = zlib.decompressobj()
    try:
        payload = stream.decompress(data[5:])
    except zlib.error as error:
        raise ValueError(f"motion plan: the {len(data)} bytes are damaged ({error}); make the plan again") from None
    if not stream.eof or stream.unused_data:
        state = "continue behind its end" if stream.eof else "are cut short"
        raise ValueError(f"motion plan: the {len(data)} bytes {state}; make the plan again")
    return _columns(payload)


def _columns(payload: bytes) -> list[Column]:
    columns, place = [], 0
    while place < len(payload):
        # Cut off, it reads as a width of 0.
        length, width = _LENGTH.unpack(payload[place : place + _LENGTH.size].ljust(_LENGTH.size, b"\0"))
        place += _LENGTH.size
        if width not in _WIDTHS or place + length * width > len(payload):
            raise ValueError(f"motion plan: the {len(payload)} unpacked bytes are not those of a plan")
        planes = np.frombuffer(payload, np.uint8, length * width, place).reshape(width, length)
        folded = np.ascontiguousarray(planes.T).view(_WIDTHS[width]).reshape(-1).astype(np.int64)
        columns.append(((folded >> 1) ^ -(folded & 1)).astype(np.int32))
        place += length * width
    return columns
