"""Which files of a source are videos, when one counts as changed, and what is noted of it before any computing."""

import os
from pathlib import Path

import pytest

from equivdm.config import ClipConfig, DecodeConfig
from equivdm.errors import UsageError
from pipelines.config import SourceConfig
from pipelines.identity import content_id
from pipelines.manifest import VideoFile, layout_of, list_videos, manifest_key, matches, probe_video
from tests.pipelines.videos import CLIP, write_scene


def touched(root: Path, *names: str) -> Path:
    """A folder of files that are named so; nothing here opens them."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def listed(root: Path, **changes: object) -> list[VideoFile]:
    return list_videos(SourceConfig.model_validate({"root": str(root)} | changes))


def test_videos_are_found_by_their_ending_at_any_depth_and_sorted(tmp_path: Path) -> None:
    touched(tmp_path, "b.mp4", "a/deep/c.WebM", "a.MOV", "notes.pdf", "b.txt", "mp4", "film.mp4.part")
    assert [video.path for video in listed(tmp_path)] == ["a.MOV", "a/deep/c.WebM", "b.mp4"]
    assert [video.path for video in listed(tmp_path / "b.mp4")] == ["b.mp4"]


def test_a_slash_at_the_end_of_the_root_means_nothing(tmp_path: Path) -> None:
    touched(tmp_path, "a/b.mp4")
    assert listed(tmp_path) == list_videos(SourceConfig(root=f"{tmp_path}/"))


def test_a_text_of_the_same_name_is_the_caption(tmp_path: Path) -> None:
    touched(tmp_path, "a.mp4", "a.txt", "b.mp4", "c.txt")
    assert [video.caption_file for video in listed(tmp_path)] == [str(tmp_path / "a.txt"), None]


@pytest.mark.parametrize("name", ["a.mp4", "a.txt"])
def test_a_video_is_another_version_when_it_or_its_caption_changes(tmp_path: Path, name: str) -> None:
    (before,) = listed(touched(tmp_path, "a.mp4", "a.txt"))
    assert listed(tmp_path) == [before]
    status = (tmp_path / name).stat()
    os.utime(tmp_path / name, ns=(status.st_atime_ns, status.st_mtime_ns + 2 * 10**9))
    (after,) = listed(tmp_path)
    assert (after.path, after.source) == (before.path, before.source)
    layout = layout_of(ClipConfig())
    assert manifest_key(after, layout) != manifest_key(before, layout)


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


def test_only_what_decides_the_windows_decides_the_layout() -> None:
    layout = layout_of(ClipConfig())
    assert layout == layout_of(ClipConfig(height=32, width=128))
    others = [{"frames": 8}, {"stride": 4}, {"fps": 12.0}, {"max_windows": 2}]
    assert len({layout, *(layout_of(ClipConfig.model_validate(other)) for other in others)}) == 5


def test_a_source_that_is_absent_or_holds_no_video_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^source.root: got '.*/no', which does not exist; wanted a folder or"):
        listed(tmp_path / "no")
    touched(tmp_path, "a.mp4")
    with pytest.raises(UsageError, match=r"holds no video that matches include=\['\*'\] and exclude=\['\*.mp4'\]; "):
        listed(tmp_path, exclude=["*.mp4"])


def probed(video: VideoFile, clip: ClipConfig = CLIP) -> list[dict]:
    row = {"source": video.source, "path": video.path, "caption_file": video.caption_file, "key": "k"}
    return probe_video(row, str(Path(video.source).parent), clip, DecodeConfig())["windows"]


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
