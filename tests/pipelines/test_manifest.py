"""What is noted of a source's videos before any computing."""

from pathlib import Path

import boto3
import pyarrow as pa
import pytest

from pipelines.config import PreprocessJob
from pipelines.identity import content_id, item_key
from pipelines.manifest import layout_of, manifest_keys, probe_video, unknown_videos, window_items
from pipelines.settings import SourceConfig
from pipelines.sources import VIDEOS, list_videos
from pipelines.store import Store, open_store
from tests.pipelines.videos import preprocess_job, write_scene


def listed(root: Path, **changes: object) -> list[dict]:
    return list_videos(SourceConfig.model_validate({"root": str(root)} | changes)).to_pylist()


def test_only_what_decides_the_windows_decides_the_layout() -> None:
    def layout(**changes: object) -> str:
        values = {"source": {"root": "a"}, "store": {"root": "b"}} | changes
        return layout_of(PreprocessJob.model_validate(values))

    assert layout() == layout(flow={"preset": "fast"}, filters={"max_black": None}, source={"root": "other"})
    clips = [{"frames": 8}, {"stride": 4}, {"fps": 12.0}, {"max_windows": 2}, {"height": 32}]
    others = [{"clip": clip} for clip in clips] + [{"shots": {"kind": "none"}}]
    assert len({layout(), *(layout(**other) for other in others)}) == 7


def test_a_key_is_the_hash_of_place_version_and_layout() -> None:
    names = [{"source": f"/videos/{number}.mp4", "version": f"{number}:1"} for number in range(3)]
    videos = pa.Table.from_pylist(names, VIDEOS)
    wanted = [item_key(name["source"], name["version"], "layout") for name in names]
    assert manifest_keys(videos, "layout").to_pylist() == wanted
    assert len({*wanted, *manifest_keys(videos, "other").to_pylist()}) == 6
    assert manifest_keys(videos.slice(0, 0), "layout").to_pylist() == []


def probed(video: dict, attempt: int = 1, **changes: object) -> list[dict]:
    """The rows of one video, as the step gives them."""
    root = Path(video["source"]).parent
    job = preprocess_job(root, root / "store", **changes)
    table = open_store(job.store).table("manifest")
    return probe_video({**video, "key": "k", "attempt": attempt, "run": "r"}, job, table)["rows"]


def test_a_video_is_noted_with_its_windows_caption_and_content(tmp_path: Path) -> None:
    write_scene(tmp_path / "a.mp4", seed=1)
    (tmp_path / "a.txt").write_bytes(b"  a disc \xff\n")
    (video,) = listed(tmp_path)
    first, second = probed(video)
    assert (first["window"], second["window"]) == (0, 1)
    assert first["indices"] + second["indices"] == list(range(12))
    assert first["caption"] == "a disc \N{REPLACEMENT CHARACTER}"
    assert (first["fps"], first["source_frames"], first["key"], first["path"]) == (25.0, 13, "k", "a.mp4")
    assert (first["frames"], first["height"], first["width"], first["shot"]) == (6, 32, 32, 0)
    assert (first["outcome"], first["attempt"]) == ("done", 1)
    assert first["content"] != second["content"]
    with (tmp_path / "a.mp4").open("rb") as stream:
        assert first["video"] == second["video"] == content_id(stream)


def test_a_video_without_a_window_is_an_item_too(tmp_path: Path) -> None:
    write_scene(tmp_path / "short.mp4", seed=1, frames=4)
    (tmp_path / "page.mp4").write_text("<html>404</html>")
    page, short = listed(tmp_path)
    (row,) = probed(short)
    assert (row["window"], row["indices"], row["source_frames"]) == (-1, [], 4)
    assert (row["outcome"], row["rule"], row["message"]) == ("done", "too_short", "4 frames, wanted 6")
    (row,) = probed(page)
    assert (row["window"], row["indices"], row["source_frames"], row["fps"]) == (-1, [], -1, 0.0)
    assert (row["outcome"], row["error"]) == ("done", "NotAVideo")  # the same bytes will fail again


def test_mixed_videos_get_the_bucket_that_fits(tmp_path: Path) -> None:
    write_scene(tmp_path / "wide.mp4", seed=1)
    buckets = [{"height": 32, "width": 32, "frames": 6}, {"height": 24, "width": 32, "frames": 8}]
    (video,) = listed(tmp_path)
    (row,) = probed(video, clip={"buckets": buckets})
    assert (row["height"], row["width"], row["frames"], len(row["indices"])) == (24, 32, 8, 8)


def test_the_manifests_caption_and_metadata_go_along(tmp_path: Path) -> None:
    write_scene(tmp_path / "a.mp4", seed=1)
    (tmp_path / "list.jsonl").write_text('{"path": "a.mp4", "caption": "of the list", "licence": "CC0"}')
    (video,) = listed(tmp_path, manifest=str(tmp_path / "list.jsonl"))
    assert {(row["caption"], row["metadata"]) for row in probed(video)} == {("of the list", '{"licence": "CC0"}')}


def test_absent_videos_are_items_of_their_own_and_probed_again_for_some_runs(tmp_path: Path) -> None:
    (tmp_path / "list.jsonl").write_text('{"path": "a.mp4"}\n{"path": "b.mp4"}')
    videos = listed(tmp_path, manifest=str(tmp_path / "list.jsonl"))
    for attempt, outcome in ((1, "failed"), (3, "done")):
        rows = [row for video in videos for row in probed(video, attempt)]
        assert [(row["path"], row["window"], row["error"]) for row in rows] == [
            ("a.mp4", -1, "AbsentVideo"),
            ("b.mp4", -1, "AbsentVideo"),
        ]
        assert {row["outcome"] for row in rows} == {outcome}


def test_a_worker_reads_a_public_bucket_without_credentials(
    tmp_path: Path, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scene(tmp_path / "a.mp4", seed=1)
    client = boto3.client("s3")
    client.create_bucket(Bucket="public", ACL="public-read")
    for name in ("a.mp4", "a.txt"):
        client.put_object(Bucket="public", Key=name, Body=(tmp_path / name).read_bytes(), ACL="public-read")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)
    job = preprocess_job("s3://public", tmp_path / "store")
    job = job.model_copy(update={"source": SourceConfig(root="s3://public", endpoint_url=s3_endpoint, anonymous=True)})
    (video,) = list_videos(job.source).to_pylist()
    manifest = open_store(job.store).table("manifest")
    settled = probe_video({**video, "key": "k", "attempt": 1, "run": "r"}, job, manifest)["rows"]
    assert {row["caption"] for row in settled} == {(tmp_path / "a.txt").read_text()}
    assert [row["window"] for row in settled] == [0, 1]


def items_of(store: Store, job: PreprocessJob) -> list[dict]:
    items = window_items(store, job, list_videos(job.source), "own")
    rows = [row for part in items.batches() for row in part.to_pylist()]
    assert sorted(row["key"] for row in rows) == sorted(items.keys.to_pylist())[: len(rows)]
    return sorted(rows, key=lambda row: (row["path"], row["window"]))


def test_what_failed_to_be_probed_is_probed_again_and_then_known_by_its_windows(tmp_path: Path) -> None:
    write_scene(tmp_path / "a.mp4", seed=1)
    job = preprocess_job(tmp_path, tmp_path / "store")
    store, videos = open_store(job.store), list_videos(job.source)
    table = store.table("manifest")
    assert window_items(store, job, videos, "own").keys.to_pylist() == manifest_keys(videos, layout_of(job)).to_pylist()
    (unknown,) = unknown_videos(store, job, videos, "first").to_pylist()
    assert (unknown["attempt"], unknown["run"]) == (1, "first")
    gone = {**unknown, "source": str(tmp_path / "for_a_moment.mp4")}
    table.append(probe_video(gone, job, table)["rows"])
    (item,) = items_of(store, job)
    assert (item["window"], item["error"], item["final"]) == (-1, "AbsentVideo", False)
    (again,) = unknown_videos(store, job, videos, "second").to_pylist()
    assert again["attempt"] == 2
    table.append(probe_video(again, job, table)["rows"])
    assert [(item["window"], item["final"]) for item in items_of(store, job)] == [(0, True), (1, True)]
    assert len(unknown_videos(store, job, videos)) == 0


def test_items_are_named_by_content_size_and_what_is_said(tmp_path: Path) -> None:
    for folder, said in (("a", "a disc"), ("b", "a disc"), ("c", "a box")):
        (tmp_path / folder).mkdir()
        write_scene(tmp_path / folder / "v.mp4", seed=1, frames=6)
        (tmp_path / folder / "v.txt").write_text(said)
    job = preprocess_job(tmp_path, tmp_path / "store")
    store, videos = open_store(job.store), list_videos(job.source)
    table = store.table("manifest")
    for video in unknown_videos(store, job, videos).to_pylist():
        table.append(probe_video(video, job, table)["rows"])
    first, copy, other = (item["key"] for item in items_of(store, job))
    assert first == copy != other
    assert window_items(store, job, videos, "other").keys.to_pylist() != [first, copy, other]
