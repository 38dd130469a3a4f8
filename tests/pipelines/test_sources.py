"""Which videos a source has, in a folder and on a real S3 server; when one counts as changed; who may read it."""

import os
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
from pydantic import ValidationError

from equivdm.errors import AbsentVideo, UsageError
from pipelines.settings import AccessConfig, SourceConfig
from pipelines.sources import ABSENT, VIDEOS, list_videos, matches, open_source, source_file

Place = Callable[[dict[str, str]], str]


def touched(root: Path, *names: str) -> Path:
    """A folder of files that are named so; nothing here opens them."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def listed(root: str | Path, **changes: object) -> list[dict]:
    table = list_videos(SourceConfig.model_validate({"root": str(root)} | changes))
    assert table.schema == VIDEOS
    table.validate(full=True)
    return table.to_pylist()


def paths(root: str | Path, **changes: object) -> list[str]:
    return [video["path"] for video in listed(root, **changes)]


def manifest(folder: Path, *rows: str) -> str:
    (folder / "list.jsonl").write_text("\n".join(rows))
    return str(folder / "list.jsonl")


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Put files, given as name and text, into a new source; returns its root. Later calls add to it."""
    if request.param == "folder":
        root = tmp_path / "source"

        def write(files: dict[str, str]) -> str:
            for name, text in files.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            return str(root)

        return write
    request.getfixturevalue("s3_endpoint")
    client = boto3.client("s3")

    def put(files: dict[str, str]) -> str:
        for name, text in files.items():
            client.put_object(Bucket="videos", Key=f"{tmp_path.name}/{name}", Body=text.encode())
        return f"s3://videos/{tmp_path.name}"

    return put


NAMES = ("b.mp4", "a/deep/c.WebM", "a.MOV", "notes.pdf", "b.txt", "mp4", "film.mp4.part", ".mp4", "a-b.gif", "é 1.ts")


def test_videos_are_found_by_their_ending_at_any_depth_and_sorted(place: Place) -> None:
    root = place(dict.fromkeys(NAMES, "x"))
    assert paths(root) == ["a-b.gif", "a.MOV", "a/deep/c.WebM", "b.mp4", "é 1.ts"]
    assert paths(f"{root}/a") == ["deep/c.WebM"]
    assert listed(root) == listed(f"{root}/")


def test_a_root_may_be_one_video(place: Place) -> None:
    root = place(dict.fromkeys(("b.mp4", "b.mp4.mp4", "b.txt", "c.mp4"), "x"))
    (video,) = listed(f"{root}/b.mp4")
    assert video == next(each for each in listed(root) if each["path"] == "b.mp4")


def test_a_text_of_the_same_name_is_the_caption(place: Place) -> None:
    root = place(dict.fromkeys(("a.mp4", "a.txt", "b.mp4", "c.txt", "d.x.mp4", "d.x.txt", "d.txt"), "x"))
    found = [video["caption_file"] for video in listed(root)]
    base = root.removeprefix("s3://")
    assert found == [f"{base}/a.txt", None, f"{base}/d.x.txt"]


@pytest.mark.parametrize("name", ["a.mp4", "a.txt"])
def test_a_video_is_another_version_when_it_or_its_caption_changes(place: Place, name: str) -> None:
    (before,) = listed(place({"a.mp4": "one", "a.txt": "two"}))
    assert listed(place({}))[0] == before
    (after,) = listed(place({name: "new"}))
    assert {column for column in before if before[column] != after[column]} == {"version"}


def test_a_version_is_size_and_time_or_size_and_etag(tmp_path: Path, s3_endpoint: str) -> None:
    touched(tmp_path, "a.mp4")
    os.utime(tmp_path / "a.mp4", ns=(0, 1_700_000_000_123_456_789))
    assert listed(tmp_path)[0]["version"] == "5:1700000000123456789"
    etag = boto3.client("s3").put_object(Bucket="videos", Key=f"{tmp_path.name}/a.mp4", Body=b"a.mp4")["ETag"]
    assert listed(f"s3://videos/{tmp_path.name}")[0]["version"] == f"5:{etag.strip(chr(34))}"


@pytest.mark.parametrize(
    ("path", "include", "exclude", "taken"),
    [
        ("a/b.mp4", ["*"], [], True),
        ("a/b.mp4", ["*.mp4"], [], True),  # a star crosses folders
        ("a/b.mp4", ["b.mp4"], [], False),
        ("a/b.mp4", ["a/*"], ["*b*"], False),
        ("a/B.mp4", ["a/b*"], [], False),  # capitals count, on every machine
        ("a/b.mp4", [], [], False),
        ("clip[1].mp4", ["clip[[]1].mp4"], [], True),
    ],
)
def test_patterns(path: str, include: list[str], exclude: list[str], taken: bool) -> None:
    assert matches(path, include, exclude) == taken


def test_a_source_that_is_absent_or_holds_no_video_is_refused(place: Place, tmp_path: Path) -> None:
    root = place({"a.mp4": "x"})
    rows = manifest(tmp_path, '{"path": "a.mp4"}')
    for other in ({}, {"manifest": rows}):
        with pytest.raises(UsageError, match=r"^source.root: got '.*/no', which does not exist; wanted a folder or"):
            listed(f"{root}/no", **other)
        with pytest.raises(UsageError, match=r"no video that matches include=\['\*'\] and exclude=\['\*.mp4'\]; "):
            listed(root, exclude=["*.mp4"], **other)


@pytest.mark.parametrize("root", ["gs://bucket/videos", "http://server/videos", "nonsense://x"])
def test_other_kinds_of_places_are_refused(root: str) -> None:
    with pytest.raises(UsageError, match=f"^source.root: got '{root}'"):
        listed(root)


# Manifests


def test_a_manifest_says_which_videos_and_what_of_them(place: Place, tmp_path: Path) -> None:
    root = place(
        {"a.mp4": "x", "a.txt": "beside", "deep/b.mp4": "x", "deep/b.txt": "beside", "c.bin": "x", "d.mp4": "x"}
    )
    rows = [
        '{"path": "deep/b.mp4", "caption": " of the list\\n", "licence": "CC0", "year": 2020, "tags": ["x", null]}',
        f'{{"path": "{root}/a.mp4", "caption": null}}',
        '{"path": "./c.bin", "caption": ""}',
    ]
    base = root.removeprefix("s3://")
    found = listed(root, manifest=manifest(tmp_path, *rows))
    assert [(video["path"], video["caption_file"], video["caption"], video["metadata"]) for video in found] == [
        ("a.mp4", f"{base}/a.txt", None, None),
        ("c.bin", None, "", None),
        ("deep/b.mp4", None, "of the list", '{"licence": "CC0", "tags": ["x", null], "year": 2020}'),
    ]
    assert [video["source"] for video in found] == [f"{base}/{video['path']}" for video in found]
    assert paths(root, manifest=manifest(tmp_path, *rows), include=["*.mp4"], exclude=["deep/*"]) == ["a.mp4"]


def test_a_row_is_the_same_video_as_the_file_unless_it_says_something(place: Place, tmp_path: Path) -> None:
    root = place({"a.mp4": "x", "a.txt": "beside"})
    assert listed(root, manifest=manifest(tmp_path, '{"path": "a.mp4"}')) == listed(root)


def test_another_caption_or_other_metadata_is_another_version(place: Place, tmp_path: Path) -> None:
    root = place({"a.mp4": "x", "a.txt": "beside"})
    rows = ['"n": 1', '"n": 2', '"caption": "one"', '"caption": "two"', '"caption": ""', '"caption": "one", "n": 1']
    versions = [listed(root, manifest=manifest(tmp_path, f'{{"path": "a.mp4", {row}}}'))[0]["version"] for row in rows]
    assert len({*versions, listed(root)[0]["version"]}) == 7
    swapped = manifest(tmp_path, '{"n": 1, "path": "a.mp4", "caption": "one"}')
    assert listed(root, manifest=swapped)[0]["version"] == versions[-1]


def test_a_listed_video_that_is_not_there_is_absent_until_it_comes(place: Place, tmp_path: Path) -> None:
    root = place({"a.mp4": "x"})
    config = SourceConfig(root=root, manifest=manifest(tmp_path, '{"path": "a.mp4"}', '{"path": "b.mp4", "n": 1}'))
    there, absent = list_videos(config).to_pylist()
    assert (absent["version"], absent["path"]) == (ABSENT, "b.mp4")
    with source_file(config, there["source"]) as local:
        assert Path(local).read_text() == "x"
    with pytest.raises(AbsentVideo, match=r"/b.mp4 is not there"), source_file(config, absent["source"]):
        pass
    place({"b.mp4": "y"})
    assert list_videos(config)["version"].to_pylist()[1] != ABSENT


def test_a_name_longer_than_any_files_is_absent(tmp_path: Path) -> None:
    touched(tmp_path, "a.mp4")
    rows = manifest(tmp_path, f'{{"path": "{"x" * 5000}.mp4"}}', '{"path": "a.mp4/b.mp4"}')
    assert {video["version"] for video in listed(tmp_path, manifest=rows)} == {ABSENT}


def test_a_manifest_may_lie_on_s3_too(place: Place, s3_endpoint: str, tmp_path: Path) -> None:
    root = place({"a.mp4": "x", "b.mp4": "x"})
    boto3.client("s3").put_object(Bucket="videos", Key=f"{tmp_path.name}.csv", Body=b"path\na.mp4\n")
    assert paths(root, manifest=f"s3://videos/{tmp_path.name}.csv") == ["a.mp4"]
    with pytest.raises(UsageError, match=r"^source.manifest: got 's3://videos/no.csv', which cannot be read"):
        listed(root, manifest="s3://videos/no.csv")


# Access


@pytest.fixture
def bucket(s3_endpoint: str) -> str:
    """A bucket that anybody may list, with one video that anybody may read and one that only its owner may."""
    client = boto3.client("s3")
    client.create_bucket(Bucket="open-to-all", ACL="public-read")
    client.put_object(Bucket="open-to-all", Key="in/public.mp4", Body=b"public", ACL="public-read")
    client.put_object(Bucket="open-to-all", Key="in/private.mp4", Body=b"private", ACL="private")
    return "s3://open-to-all/in"


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


def read(config: SourceConfig, name: str) -> bytes:
    with source_file(config, f"open-to-all/in/{name}") as local:
        return Path(local).read_bytes()


def test_a_public_bucket_is_read_without_credentials(bucket: str, s3_endpoint: str, no_credentials: None) -> None:
    config = SourceConfig(root=bucket, endpoint_url=s3_endpoint, anonymous=True)
    assert list_videos(config)["path"].to_pylist() == ["private.mp4", "public.mp4"]
    assert read(config, "public.mp4") == b"public"
    with pytest.raises(UsageError, match=r"which cannot be listed .*[Cc]redentials"):
        list_videos(config.model_copy(update={"anonymous": False}))


def test_anonymous_requests_are_unsigned_where_there_are_credentials(bucket: str) -> None:
    """The server gives the private object to signed requests only."""
    config = SourceConfig(root=bucket)
    assert read(config, "private.mp4") == b"private"
    with pytest.raises(PermissionError):
        read(config.model_copy(update={"anonymous": True}), "private.mp4")


def test_credentials_and_region_may_come_from_a_profile(
    bucket: str, s3_endpoint: str, no_credentials: None, tmp_path: Path
) -> None:
    (tmp_path / "credentials").write_text("[studio]\naws_access_key_id = a\naws_secret_access_key = b\n")
    config = SourceConfig(root=bucket, endpoint_url=s3_endpoint, profile="studio", region="eu-central-1")
    assert read(config, "private.mp4") == b"private"
    filesystem, _ = open_source(config)
    assert filesystem.s3.meta.region_name == "eu-central-1"
    with pytest.raises(UsageError, match=r"which cannot be listed .*nobody"):
        list_videos(config.model_copy(update={"profile": "nobody"}))


@pytest.mark.parametrize(
    "wrong",
    [{"endpoint_url": "minio:9000"}, {"anonymous": True, "profile": "studio"}, {"secret": "x"}],
)
def test_access_that_cannot_be_meant_is_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        AccessConfig.model_validate(wrong)
