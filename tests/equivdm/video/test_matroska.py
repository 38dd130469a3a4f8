"""Checksums of hand-made Matroska files."""

import zlib
from pathlib import Path

import pytest

from equivdm.video.matroska import checksum_failures

SEGMENT, CLUSTER, TRACKS, INFO = b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75", b"\x16\x54\xae\x6b", b"\x15\x49\xa9\x66"


def element(identity: bytes, content: bytes, width: int = 8) -> bytes:
    """An element whose size is written in so many bytes."""
    return identity + (len(content) | 1 << 7 * width).to_bytes(width, "big") + content


def summed(identity: bytes, content: bytes, width: int = 8) -> bytes:
    return element(identity, b"\xbf\x84" + zlib.crc32(content).to_bytes(4, "little") + content, width)


def write(path: Path, *children: bytes, size: int | None = None) -> str:
    body = b"".join(children)
    head = element(b"\x1a\x45\xdf\xa3", b"head", 1)
    known = (1 << 56) | len(body)
    path.write_bytes(head + SEGMENT + (known if size is None else size).to_bytes(8, "big") + body)
    return str(path)


@pytest.mark.parametrize("width", [2, 3, 8])
def test_each_changed_byte_is_found(tmp_path: Path, width: int) -> None:
    content = bytes(range(100))
    good, cluster = summed(INFO, content), summed(CLUSTER, content, width)
    path = tmp_path / "a.mkv"
    write(path, good, cluster, summed(CLUSTER, b""))
    assert checksum_failures(str(path)) == ([], [])
    for place in range(4 + width + 2, len(cluster)):
        changed = bytearray(cluster)
        changed[place] ^= 0x40
        write(path, good, bytes(changed), summed(CLUSTER, b""))
        end = path.read_bytes().index(SEGMENT) + 12 + len(good) + len(cluster)
        assert checksum_failures(str(path)) == ([], [(end - 106, end)])


def test_headers_are_named(tmp_path: Path) -> None:
    broken = [summed(identity, b"settings").replace(b"set", b"sat") for identity in (INFO, TRACKS)]
    assert checksum_failures(write(tmp_path / "a.mkv", *broken)) == (["Info", "Tracks"], [])


def test_without_checksums_or_to_the_end_of_a_cut_file_nothing_fails(tmp_path: Path) -> None:
    plain, cluster = element(CLUSTER, bytes(50)), summed(CLUSTER, bytes(50))
    assert checksum_failures(write(tmp_path / "a.mkv", plain, cluster[:-1])) == ([], [])
    unknown = (1 << 57) - 1
    assert checksum_failures(write(tmp_path / "b.mkv", plain, cluster, size=unknown)) == ([], [])
    assert checksum_failures(write(tmp_path / "c.mkv", plain, cluster[:-1] + b"x", size=unknown))[1]
