"""Stores in a folder and on S3 behave alike, and one that cannot be written says so at once."""

import errno
import os
import pickle
from pathlib import Path

import pytest

from equivdm.errors import UsageError
from pipelines.settings import SourceConfig, StoreConfig
from pipelines.sources import list_videos
from pipelines.store import Store, open_store, open_url
from tests.faulty_s3 import Weather, faulty_s3


def test_a_file_put_into_the_store_comes_back(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "video.mp4"
    source.write_bytes(b"\x00\x01" * 1000)
    store.put(str(source), "renders", "one", "video.mp4")
    with store.local_copy("renders/one/video.mp4") as local:
        assert Path(local).read_bytes() == source.read_bytes()
        assert local.endswith(".mp4")
    assert store.filesystem.find(store.root) == [store.path("renders/one/video.mp4")]


def test_a_file_that_is_put_again_is_replaced(store: Store, tmp_path: Path) -> None:
    for content in (b"first and longer", b"second"):
        (tmp_path / "file.bin").write_bytes(content)
        store.put(str(tmp_path / "file.bin"), "a/file.bin")
    with store.local_copy("a", "file.bin") as local:
        assert Path(local).read_bytes() == b"second"
    assert store.filesystem.find(store.root) == [store.path("a/file.bin")]  # nothing half written is left


def test_a_copy_goes_away_and_the_object_stays(store: Store) -> None:
    store.filesystem.pipe_file(store.path("a.bin"), b"abc")
    with store.local_copy("a.bin") as local:
        assert Path(local).read_bytes() == b"abc"
    assert Path(local).exists() == store.is_local
    assert store.filesystem.cat_file(store.path("a.bin")) == b"abc"


def test_an_object_that_is_not_there_is_no_file(store: Store) -> None:
    with pytest.raises(FileNotFoundError), store.local_copy("absent.bin") as local:
        Path(local).read_bytes()


def test_a_store_goes_to_another_process_and_is_the_same_there(store: Store) -> None:
    store.filesystem.pipe_file(store.path("a.bin"), b"abc")
    other = pickle.loads(pickle.dumps(store))
    assert (other.root, other.url, other.is_local) == (store.root, store.url, store.is_local)
    assert other.filesystem.cat_file(other.path("a.bin")) == b"abc"


def test_opening_a_store_leaves_nothing_in_it(tmp_path: Path) -> None:
    for _ in range(2):
        open_store(StoreConfig(root=str(tmp_path / "deep" / "store")))
    assert list((tmp_path / "deep" / "store").iterdir()) == []


def test_a_place_is_absolute_and_ends_without_a_slash(tmp_path: Path) -> None:
    assert open_url(f"{tmp_path}/")[1] == str(tmp_path)
    assert open_url("here/../there")[1] == str(Path.cwd() / "there")
    assert open_url("~/videos")[1] == str(Path.home() / "videos")
    assert open_url("s3://bucket/prefix/")[1] == "bucket/prefix"


def test_the_arrow_filesystem_sees_the_same_files(store: Store) -> None:
    store.filesystem.pipe_file(store.path("a.bin"), b"abc")
    with store.arrow_filesystem.open_input_file(store.path("a.bin")) as stream:
        assert stream.read() == b"abc"


def test_a_store_under_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(
        UsageError, match=r"store.root: got '.*/file/store', which cannot be written .* wanted a folder"
    ):
        open_store(StoreConfig(root=str(tmp_path / "file" / "store")))


def test_a_bucket_that_does_not_exist_is_refused(s3_endpoint: str) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        open_store(StoreConfig(root="s3://no-such-bucket/prefix"))


@pytest.mark.usefixtures("impatient")
def test_a_server_out_of_reach_is_one_line_too(monkeypatch: pytest.MonkeyPatch, s3_endpoint: str) -> None:
    del s3_endpoint  # its credentials are set
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(UsageError, match=r"^store.root: got 's3://videos/a', which cannot be written .*127.0.0.1:9"):
        open_store(StoreConfig(root="s3://videos/a"))
    with pytest.raises(UsageError, match=r"^source.root: got 's3://videos/a', which cannot be listed .*127.0.0.1:9"):
        list_videos(SourceConfig(root="s3://videos/a"))


def test_a_server_that_refuses_no_second_writer_is_refused(
    s3_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = f"s3://videos/exclusive/{tmp_path.name}"
    with faulty_s3(s3_endpoint, Weather(conditional=False)) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        with pytest.raises(UsageError, match=r"got 's3://.*', where two writers can make the same file; wanted"):
            open_store(StoreConfig(root=root))
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    assert open_store(StoreConfig(root=root)).filesystem.find(f"videos/exclusive/{tmp_path.name}") == []


def test_a_disk_without_hard_links_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: str) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(
        UsageError, match=r"no file can be made by one writer only \(.*not permitted\); wanted a disk with"
    ):
        open_store(StoreConfig(root=str(tmp_path / "store")))
    assert list((tmp_path / "store").iterdir()) == []
