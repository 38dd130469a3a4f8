"""Files of a folder and objects of a real S3 server, page by page."""

import os
from pathlib import Path

import boto3
import pyarrow as pa
import pytest

from equivdm.errors import UsageError
from pipelines.settings import SourceConfig
from pipelines.source_listing import TEXT, files_named
from pipelines.sources import open_source
from tests.pipelines.test_sources import listed, manifest, paths, touched


@pytest.fixture
def pages_of_three(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A source of 30 objects on a server that lists three at a time; videos with even numbers have captions."""
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
    client = boto3.client("s3")
    for number in range(20):
        client.put_object(Bucket="videos", Key=f"{tmp_path.name}/{number:02}.mp4", Body=b"")
        if number % 2 == 0:
            client.put_object(Bucket="videos", Key=f"{tmp_path.name}/{number:02}.txt", Body=b"")
    return f"s3://videos/{tmp_path.name}"


def test_a_listing_of_many_pages_is_whole(pages_of_three: str, tmp_path: Path) -> None:
    everything = listed(pages_of_three)
    assert [video["path"] for video in everything] == [f"{number:02}.mp4" for number in range(20)]
    assert [video["caption_file"] is None for video in everything] == [False, True] * 10
    for step in (1, 2, 7):
        rows = [f'{{"path": "{video["path"]}"}}' for video in everything[::-step]]
        assert listed(pages_of_three, manifest=manifest(tmp_path, *rows)) == everything[::-1][::step][::-1]


@pytest.mark.parametrize(
    ("names", "requests"),
    [
        ([f"{number:02}.mp4" for number in range(20)], 10),  # as many as pages
        (["00.mp4", "10.mp4", "19.mp4"], 3),  # as many as names
        (["17.mp4", "no.mp4", "zz.mp4"], 2),  # nothing comes after what the second answer holds
    ],
)
def test_names_are_looked_up_along_the_listing(pages_of_three: str, names: list[str], requests: int) -> None:
    filesystem, root = open_source(SourceConfig(root=pages_of_three))
    sent = []
    filesystem.connect()
    filesystem.s3.meta.events.register("before-send.s3", lambda request, **_: sent.append(request.url))
    found = files_named(filesystem, root, pa.array(names, TEXT))
    assert found["path"].to_pylist() == [name for name in names if name[0] in "01"]
    assert len(sent) == requests


def test_links_to_files_are_videos_and_what_is_no_file_is_none(tmp_path: Path) -> None:
    touched(tmp_path, "store/x", "source/real.mp4")
    source = tmp_path / "source"
    (source / "link.mp4").symlink_to(tmp_path / "store" / "x")
    (source / "dangling.mp4").symlink_to(tmp_path / "no")
    (source / "round").symlink_to(source)
    os.mkfifo(source / "pipe.mp4")
    (source / "folder.mp4").mkdir()
    assert paths(source) == ["link.mp4", "real.mp4"]
    os.utime(tmp_path / "store" / "x", ns=(0, 7))
    assert listed(source)[0]["version"] == "7:7"


def test_a_name_that_is_no_text_is_named_unless_it_is_left_out(tmp_path: Path) -> None:
    touched(tmp_path, "a.mp4")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff.mp4")).touch()
    with pytest.raises(UsageError, match=r"^source.root: .*b'b\\xff.mp4' is not UTF-8: rename it, or exclude it"):
        listed(tmp_path)
    assert paths(tmp_path, exclude=["b*"]) == ["a.mp4"]
