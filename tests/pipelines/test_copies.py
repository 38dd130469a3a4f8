"""The copy of a remote video: made once for one version, and made anew for another."""

import os
from pathlib import Path

import boto3
import pytest

from equivdm.errors import AbsentVideo
from pipelines.copies import kept_source_file
from pipelines.settings import SourceConfig


def read(config: SourceConfig, source: str) -> tuple[bytes, tuple[int, int]]:
    """Bytes of the local file, and what tells it from another."""
    with kept_source_file(config, source) as local:
        found = os.stat(local)
        return Path(local).read_bytes(), (found.st_ino, found.st_mtime_ns)


def test_a_copy_stays_until_another_video_or_version_is_asked_for(tmp_path: Path, s3_endpoint: str) -> None:
    del s3_endpoint
    client, folder = boto3.client("s3"), f"copies/{tmp_path.name}"
    for name in ("a.mp4", "b.mp4"):
        client.put_object(Bucket="videos", Key=f"{folder}/{name}", Body=name.encode())
    config = SourceConfig(root=f"s3://videos/{folder}")
    first, second = (f"videos/{folder}/{name}" for name in ("a.mp4", "b.mp4"))
    data, copy = read(config, first)
    assert data == b"a.mp4"
    assert read(config, first) == (data, copy)
    assert read(config, second)[0] == b"b.mp4"
    with kept_source_file(config, second) as local:
        assert len(list(Path(local).parent.iterdir())) == 1
    again = read(config, first)
    assert again[0] == data
    assert again[1] != copy
    client.put_object(Bucket="videos", Key=f"{folder}/a.mp4", Body=b"another version")
    assert read(config, first)[0] == b"another version"
    with pytest.raises(AbsentVideo, match=r"c.mp4 is not there"):
        read(config, f"videos/{folder}/c.mp4")


def test_a_file_of_this_machine_is_itself(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"here")
    with kept_source_file(SourceConfig(root=str(tmp_path)), str(tmp_path / "a.mp4")) as local:
        assert local == str(tmp_path / "a.mp4")
