"""What is noted of a source's videos before any computing."""

from pathlib import Path

import pyarrow as pa

from equivdm.config import ClipConfig, DecodeConfig
from pipelines.config import SourceConfig
from pipelines.identity import content_id, item_key
from pipelines.manifest import layout_of, manifest_keys, probe_video
from pipelines.sources import ABSENT, VIDEOS, list_videos
from tests.pipelines.videos import CLIP, write_scene


def listed(root: Path, **changes: object) -> list[dict]:
    return list_videos(SourceConfig.model_validate({"root": str(root)} | changes)).to_pylist()


def test_only_what_decides_the_windows_decides_the_layout() -> None:
    layout = layout_of(ClipConfig())
    assert layout == layout_of(ClipConfig(height=32, width=128))
    others = [{"frames": 8}, {"stride": 4}, {"fps": 12.0}, {"max_windows": 2}]
    assert len({layout, *(layout_of(ClipConfig.model_validate(other)) for other in others)}) == 5


def test_a_key_is_the_hash_of_place_version_and_layout() -> None:
    names = [{"source": f"/videos/{number}.mp4", "version": f"{number}:1"} for number in range(3)]
    videos = pa.Table.from_pylist(names, VIDEOS)
    wanted = [item_key(name["source"], name["version"], "layout") for name in names]
    assert manifest_keys(videos, "layout").to_pylist() == wanted
    assert len({*wanted, *manifest_keys(videos, "other").to_pylist()}) == 6
    assert manifest_keys(videos.slice(0, 0), "layout").to_pylist() == []


def probed(video: dict, clip: ClipConfig = CLIP) -> list[dict]:
    source = SourceConfig(root=str(Path(video["source"]).parent))
    return probe_video({**video, "key": "k"}, source, clip, DecodeConfig())["windows"]


def test_a_video_is_noted_with_its_windows_caption_and_content(tmp_path: Path) -> None:
    write_scene(tmp_path / "a.mp4", seed=1)
    (tmp_path / "a.txt").write_bytes(b"  a disc \xff\n")
    (video,) = listed(tmp_path)
    first, second = probed(video)
    assert (first["window"], second["window"]) == (0, 1)
    assert first["indices"] + second["indices"] == list(range(12))
    assert first["caption"] == "a disc \N{REPLACEMENT CHARACTER}"
    assert (first["fps"], first["source_frames"], first["key"], first["path"]) == (25.0, 13, "k", "a.mp4")
    with (tmp_path / "a.mp4").open("rb") as stream:
        assert first["video"] == second["video"] == content_id(stream)


def test_a_video_without_a_window_is_an_item_too(tmp_path: Path) -> None:
    write_scene(tmp_path / "short.mp4", seed=1, frames=4)
    (tmp_path / "page.mp4").write_text("<html>404</html>")
    page, short = listed(tmp_path)
    (row,) = probed(short)
    assert (row["window"], row["indices"], row["source_frames"]) == (-1, [], 4)
    (row,) = probed(page)
    assert (row["window"], row["indices"], row["source_frames"], row["fps"]) == (-1, [], -1, 0.0)


def test_the_manifests_caption_and_metadata_go_along(tmp_path: Path) -> None:
    write_scene(tmp_path / "a.mp4", seed=1)
    (tmp_path / "list.jsonl").write_text('{"path": "a.mp4", "caption": "of the list", "licence": "CC0"}')
    (video,) = listed(tmp_path, manifest=str(tmp_path / "list.jsonl"))
    assert {(row["caption"], row["metadata"]) for row in probed(video)} == {("of the list", '{"licence": "CC0"}')}


def test_absent_videos_are_items_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "list.jsonl").write_text('{"path": "a.mp4"}\n{"path": "b.mp4"}')
    videos = listed(tmp_path, manifest=str(tmp_path / "list.jsonl"))
    rows = [row for video in videos for row in probed(video)]
    assert [(row["path"], row["window"], row["source_frames"]) for row in rows] == [
        ("a.mp4", -1, -1),
        ("b.mp4", -1, -1),
    ]
    assert rows[0]["video"] != rows[1]["video"]


def test_a_video_that_goes_after_the_listing_leaves_no_row_that_would_stay(tmp_path: Path) -> None:
    write_scene(tmp_path / "a.mp4", seed=1)
    (video,) = listed(tmp_path)
    (tmp_path / "a.mp4").unlink()
    assert video["version"] != ABSENT
    assert probed(video) == []
