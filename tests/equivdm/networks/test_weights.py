"""The name of weights changes with their bytes, and with nothing else."""

import hashlib
import os
from pathlib import Path

import pytest

from equivdm.errors import UsageError
from equivdm.networks import weights
from equivdm.networks.weights import weights_digest


def test_a_file_is_named_by_its_sha256_wherever_it_lies(tmp_path: Path) -> None:
    for name in ("a.pth", "b.safetensors"):
        (tmp_path / name).write_bytes(b"weights")
        assert weights_digest(str(tmp_path / name)) == hashlib.sha256(b"weights").hexdigest()


def test_a_file_that_was_replaced_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "a.pth"
    file.write_bytes(b"first!!")
    before = weights_digest(str(file))
    file.write_bytes(b"second!")
    os.utime(file, ns=(1, 1))
    assert weights_digest(str(file)) == hashlib.sha256(b"second!").hexdigest() != before


def model(folder: Path, **files: bytes) -> str:
    """A folder as from_pretrained reads it."""
    folder.mkdir()
    for name, content in ({"config.json": b"{}", "model.safetensors": b"w"} | files).items():
        (folder / name).write_bytes(content)
    return str(folder)


def test_a_folder_is_named_by_what_is_read_of_it(tmp_path: Path) -> None:
    same = [model(tmp_path / "a"), model(tmp_path / "b", **{"README.md": b"hello"})]
    other = [model(tmp_path / "c", **{"config.json": b"[]"}), model(tmp_path / "d", **{"more.safetensors": b""})]
    assert weights_digest(same[0]) == weights_digest(same[1])
    assert len({weights_digest(each) for each in (same[0], *other)}) == 3


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no model, wanted config.json"):
        weights_digest(str(tmp_path))
    with pytest.raises(UsageError, match=r"cannot be read \(No such file"):
        weights_digest(str(tmp_path / "none.pth"))


def test_what_is_known_of_a_large_file_is_known_to_later_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of its own each: what only this process knows is forgotten."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(weights, "LARGE", 4)
    file = tmp_path / "a.safetensors"
    file.write_bytes(b"first!!")
    first, status = weights_digest(str(file)), file.stat()
    file.write_bytes(b"second!")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))  # as if it had not changed
    weights._digest_of.cache_clear()
    assert weights_digest(str(file)) == first == hashlib.sha256(b"first!!").hexdigest()
    os.utime(file, ns=(1, 1))
    assert weights_digest(str(file)) == hashlib.sha256(b"second!").hexdigest()
    assert all(len(note.read_text()) == 64 for note in (tmp_path / "cache").rglob("*") if note.is_file())


def test_without_a_place_to_keep_digests_files_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(weights, "LARGE", 4)
    (tmp_path / "a.pth").write_bytes(b"weights")
    assert weights_digest(str(tmp_path / "a.pth")) == hashlib.sha256(b"weights").hexdigest()
