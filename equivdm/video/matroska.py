"""Checksums of Matroska and WebM files (RFC 9559, on EBML: RFC 8794).

An element may begin with a CRC-32 of the rest of it. FFmpeg writes one for every cluster of a Matroska file (a few
seconds of packets at most) and checks none, so a changed byte that still decodes would go unnoticed.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_EBML, _SEGMENT, _CRC = 0x1A45DFA3, 0x18538067, 0xBF
_HEADERS = {0x1549A966: "Info", 0x1654AE6B: "Tracks"}
"""Elements that all frames depend on: the unit of time, the codecs and their settings."""
_CHUNK = 1 << 20


def checksum_failures(path: str) -> tuple[list[str], list[tuple[int, int]]]:
    """Check all checksums of a Matroska or WebM file.

    Returns:
        Names of the headers that fail, and (first byte, end) of each other element that does. Both are empty where
        there are no checksums; what follows an element of unknown size (live streams) is not looked at.
    """
    headers: list[str] = []
    ranges: list[tuple[int, int]] = []
    with Path(path).open("rb") as file:
        for identity, start, end in _elements(file):
            if not _sound(file, start, end):
                if identity in _HEADERS:
                    headers.append(_HEADERS[identity])
                else:
                    ranges.append((start, end))
    return headers, ranges


def _elements(file: BinaryIO) -> Iterator[tuple[int, int, int]]:
    """(identity, first byte of the content, end) of the children of the segment that are whole."""
    length = file.seek(0, 2)
    position = 0
    while position < length:
        file.seek(position)
        identity, size = _number(file, keep_mark=True), _number(file, keep_mark=False)
        start = file.tell()
        if identity == _SEGMENT:
            position = start
            continue
        if identity is None or size is None or start + size > length:
            return
        if identity != _EBML:
            yield identity, start, start + size
        position = start + size


def _number(file: BinaryIO, *, keep_mark: bool) -> int | None:
    """A number of variable length (RFC 8794, 4): as many bytes as the first has leading zeros, plus one."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    rest = file.read(more)
    value = int.from_bytes(first + rest, "big")
    mark = 1 << (7 * (more + 1))
    if keep_mark:
        return value
    # All ones: the size is not known.
    return None if len(rest) < more or value == 2 * mark - 1 else value - mark


def _sound(file: BinaryIO, start: int, end: int) -> bool:
    """Say whether an element fits its checksum, if it has one."""
    file.seek(start)
    head = file.read(6)
    if len(head) < 6 or head[0] != _CRC or head[1] != 0x84:
        return True
    crc, left = 0, end - start - 6
    while left > 0:
        part = file.read(min(_CHUNK, left))
        crc, left = zlib.crc32(part, crc), left - len(part)
    return crc == int.from_bytes(head[2:], "little")
