"""`equivdm scenes`: videos with captions and exact flow, which preprocess reads."""

from pathlib import Path

import numpy as np
import pytest

from equivdm.flow.files import find_flow, read_flow
from equivdm.seeds import derive_seed
from equivdm.video.decode import decode
from equivdm.video.photographs import Photographic, load_photographs
from equivdm.video.probe import probe
from equivdm.video.synthetic import render_scene
from jobs.cli import main

LOOK = ["--count", "2", "--frames", "3", "--size", "48x64", "--seed", "4", "--photographs", "1", "--flow"]


def test_a_folder_of_scenes_has_videos_captions_and_their_exact_flow(tmp_path: Path) -> None:
    assert main(["scenes", str(tmp_path / "videos"), *LOOK]) == 0
    names = sorted(path.name for path in (tmp_path / "videos").iterdir())
    suffixes = ("flow.npz", "mp4", "txt")
    assert names == [*(f"scene_0000{number}.{suffix}" for number in range(2) for suffix in suffixes), "scenes.json"]
    video = tmp_path / "videos" / "scene_00001.mp4"
    seed, texture = derive_seed("scenes", 4, "scene_00001"), Photographic(load_photographs())
    scene = render_scene(seed, frames=3, height=48, width=64, texture=texture)
    assert video.with_suffix(".txt").read_text() == scene.caption + "\n"
    forward, backward = read_flow(find_flow(video), range(3), probe(str(video)), (48, 64))
    assert backward is not None
    np.testing.assert_allclose(forward, scene.forward, atol=1e-5)
    np.testing.assert_allclose(backward, scene.backward, atol=1e-5)


def test_colours_are_as_muted_as_asked_for_and_a_share_is_from_0_to_1(tmp_path: Path) -> None:
    small = ["--count", "1", "--frames", "2", "--size", "32x32"]
    assert main(["scenes", str(tmp_path / "grey"), *small, "--saturation", "0"]) == 0
    assert main(["scenes", str(tmp_path / "full"), *small]) == 0
    grey, full = (decode(str(tmp_path / each / "scene_00000.mp4"), range(2), None) for each in ("grey", "full"))
    assert np.ptp(grey, axis=-1).max() < 8
    assert np.ptp(full, axis=-1).max() > 40
    for option in ("--saturation", "--photographs"):
        assert main(["scenes", str(tmp_path / "more"), option, "1.5"]) == 2


def test_what_is_there_stays_a_larger_count_adds_and_others_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["scenes", str(tmp_path), "--count", "1", "--frames", "2", "--size", "32x32"]) == 0
    before = (tmp_path / "scene_00000.mp4").stat().st_mtime_ns
    assert main(["scenes", str(tmp_path), "--count", "2", "--frames", "2", "--size", "32x32"]) == 0
    assert (tmp_path / "scene_00000.mp4").stat().st_mtime_ns == before
    assert (tmp_path / "scene_00001.mp4").exists()
    assert main(["scenes", str(tmp_path), "--frames", "2", "--size", "32x32", "--flow"]) == 2
    assert "wanted the same: take another folder" in capsys.readouterr().err


def test_a_frame_that_is_too_small_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scenes", str(tmp_path), "--size", "8x64"]) == 2
    assert capsys.readouterr().err == "equivdm: --size: got 8x64, wanted at least 16x16\n"
