"""Shots: scores in closed form, and the cuts, fades and flashes of real and hard files."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equivdm.config import ShotsConfig
from equivdm.video.probe import probe
from equivdm.video.shots import Shot, ShotScores, cut_scores, fade_scores, find_shots, score_thumbnails, score_video
from equivdm.video.synthetic import render_scene
from equivdm.video.write import write_video

SIDE = 12


def _picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 255, (SIDE, SIDE, 3)).astype(np.float32)


def _still(*lengths: int) -> np.ndarray:
    """One still picture after the other."""
    return np.concatenate([np.repeat(_picture(seed)[None], length, 0) for seed, length in enumerate(lengths)])


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).mean())


@pytest.mark.parametrize("place", [1, 2, 10, 18, 19])
def test_a_cut_between_still_pictures_scores_their_distance_where_it_is(place: int) -> None:
    thumbnails = _still(place, 20 - place)
    want = np.zeros(20)
    want[place] = _distance(thumbnails[0], thumbnails[-1])
    np.testing.assert_allclose(cut_scores(thumbnails), want, rtol=1e-5)


@pytest.mark.parametrize("length", [1, 2])
def test_a_flash_scores_nothing_and_a_longer_one_is_a_shot(length: int) -> None:
    thumbnails = _still(20)
    thumbnails[8 : 8 + length] = 255
    assert cut_scores(thumbnails).max() == 0
    thumbnails[8:11] = 255
    assert set(np.flatnonzero(cut_scores(thumbnails) > 2)) == {8, 11}


def test_two_frames_alone_are_no_cut_and_a_third_tells() -> None:
    still, other = (np.full((1, 48, 48, 3), value, np.float32) for value in (50, 150))
    assert cut_scores(np.concatenate([still, other])).tolist() == [0, 0]
    assert cut_scores(np.concatenate([still, other, other])).argmax() == 1


def test_what_moves_on_one_side_lowers_a_cut() -> None:
    """By the definition: d across over 1 + the largest distance on a side, here 8 levels between frames 2 apart."""
    thumbnails = np.zeros((12, SIDE, SIDE, 3), np.float32)
    thumbnails[:6] += 4 * np.arange(6)[:, None, None, None]
    thumbnails[6:] = 220
    assert cut_scores(thumbnails)[6] == pytest.approx(200 / (1 + 8))


@pytest.mark.parametrize("reach", [4, 8, 16])
def test_a_linear_fade_scores_the_change_in_its_middle(reach: int) -> None:
    first, last = _picture(0), _picture(1)
    first, last = first - first.mean((0, 1)), last - last.mean((0, 1))
    share = np.clip((np.arange(120) - (60 - reach)) / (2 * reach), 0, 1).astype(np.float32)[:, None, None, None]
    scores, reaches = fade_scores((1 - share) * first + share * last)
    assert scores.argmax() == 60
    assert reaches[60] == reach
    assert scores[60] == pytest.approx(_distance(first, last), rel=1e-4)
    assert scores[: 60 - 2 * 16].max() == scores[60 + 2 * 16 + 1 :].max() == 0


def test_cuts_motion_and_light_are_no_fades() -> None:
    assert fade_scores(_still(30, 30))[0].max() == pytest.approx(0, abs=1e-3)
    texture = np.random.default_rng(3).uniform(0, 255, (SIDE, SIDE + 59, 3)).astype(np.float32)
    moving = np.stack([texture[:, k : k + SIDE] for k in range(60)])
    assert fade_scores(moving)[0].max() == 0
    brighter = _still(60) * 0.5 + np.linspace(0, 120, 60, dtype=np.float32)[:, None, None, None]
    assert fade_scores(brighter)[0].max() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("turn", [0.02, 0.1, 0.4])
def test_smooth_motion_is_no_fade_though_each_frame_is_nearly_a_mix_of_its_neighbours(turn: float) -> None:
    """Waves of high contrast: half of the change across 32 frames, or more, is that of a linear mix."""
    phase = np.arange(90)[:, None, None, None] * turn + np.arange(48)[:, None] / 4
    waves = np.broadcast_to(128 + 90 * np.sin(phase), (90, 48, 48, 3)).astype(np.float32)
    assert fade_scores(waves)[0].max() == 0


@settings(max_examples=10, derandomize=True)
@given(st.integers(1, 300))
def test_scores_do_not_depend_on_blocks(count: int) -> None:
    steps = np.random.default_rng(count).normal(0, 6, (count, 4, 4, 3))
    thumbnails = (128 + np.cumsum(steps, axis=0)).astype(np.float32)
    parts = list(score_thumbnails((3 * number, thumbnail) for number, thumbnail in enumerate(thumbnails)))
    np.testing.assert_array_equal(np.concatenate([part.numbers for part in parts]), 3 * np.arange(count))
    np.testing.assert_allclose(np.concatenate([part.cut for part in parts]), cut_scores(thumbnails), rtol=1e-5)
    fades = np.concatenate([part.fade for part in parts])
    np.testing.assert_allclose(fades, fade_scores(thumbnails)[0], rtol=1e-5, atol=1e-4)


def _scored(cut: dict[int, float], fade: dict[int, float], numbers: range) -> list[ShotScores]:
    scores = np.zeros((2, len(numbers)), np.float32)
    for row, places in zip(scores, (cut, fade), strict=True):
        row[list(places)] = list(places.values())
    return [ShotScores(np.array(numbers), *scores, np.full(len(numbers), 4))]


def test_shots_are_cut_at_peaks_above_the_threshold() -> None:
    scores = _scored({10: 1.9, 20: 3.0, 22: 2.5, 60: 2.0}, {35: 10.0, 40: 12.0}, range(80))
    assert find_shots(scores, 80, ShotsConfig()) == (Shot(0, 20), Shot(20, 36), Shot(44, 60), Shot(60, 80))
    assert find_shots(scores, 80, ShotsConfig(kind="cuts")) == (Shot(0, 20), Shot(20, 60), Shot(60, 80))
    assert find_shots(scores, 80, ShotsConfig(kind="none")) == (Shot(0, 80),)
    assert find_shots(scores, 80, ShotsConfig(kind="cuts", shortest=21)) == (Shot(20, 60),)
    assert find_shots(scores, 80, ShotsConfig(cut_ratio=1.5, fade_change=13)) == (
        Shot(0, 10),
        Shot(10, 20),
        Shot(20, 60),
        Shot(60, 80),
    )


def test_a_fade_at_a_cut_or_at_an_end_leaves_what_it_does_not_reach() -> None:
    assert find_shots(_scored({38: 3.0}, {40: 12.0}, range(80)), 80, ShotsConfig()) == (Shot(0, 36), Shot(44, 80))
    assert find_shots(_scored({}, {3: 12.0, 78: 12.0}, range(80)), 80, ShotsConfig()) == (Shot(7, 74),)
    assert find_shots(_scored({}, {3: 12.0}, range(5)), 5, ShotsConfig()) == ()


def test_frames_that_are_missing_belong_to_the_shot_around_them() -> None:
    assert find_shots(_scored({20: 3.0}, {}, range(5, 85)), 100, ShotsConfig()) == (Shot(0, 25), Shot(25, 100))
    assert find_shots([], 48, ShotsConfig()) == (Shot(0, 48),)
    assert find_shots([], 0, ShotsConfig()) == ()


def _shots(path: Path) -> list[tuple[int, int]]:
    found = find_shots(list(score_video(str(path))), len(probe(str(path)).timestamps), ShotsConfig())
    return [(shot.start, shot.stop) for shot in found]


def test_scenes_joined_to_one_file_are_told_apart(tmp_path: Path) -> None:
    """Cuts at the border of a block, near it and within it."""
    path, lengths = tmp_path / "joined.mp4", [64, 5, 40, 30]
    scenes = [render_scene(seed, frames=8, height=32, width=48).frames for seed in range(len(lengths))]
    # To and fro, so that every scene moves all the time.
    walks = [scene[np.abs(np.arange(n) % 14 - 7)] for scene, n in zip(scenes, lengths, strict=True)]
    write_video(str(path), np.concatenate(walks), 24.0)
    assert _shots(path) == [(0, 64), (64, 69), (69, 109), (109, 139)]


SYNTH = ["baseline", "black", "flash_at_20", "frozen_middle", "gray", "letterbox", "static", "rotate_90", "tiny_16x16"]


@pytest.mark.parametrize("name", SYNTH)
def test_files_without_a_cut_are_one_shot(assets: Path, name: str) -> None:
    path = assets / "hard" / "synth" / f"{name}.mp4"
    assert _shots(path) == [(0, len(probe(str(path)).timestamps))]


def test_a_cut_is_found_at_its_frame_and_a_cross_fade_from_end_to_end(assets: Path) -> None:
    assert _shots(assets / "hard" / "synth" / "hard_cut_at_24.mp4") == [(0, 24), (24, 48)]
    (_, faded), (new, stop) = _shots(assets / "hard" / "synth" / "cross_fade_16_32.mp4")
    assert (faded, stop) == (pytest.approx(16, abs=2), 48)
    assert new == pytest.approx(32, abs=2)


def test_the_transitions_of_edited_films(assets: Path) -> None:
    """By eye: a trailer fades to black over frames 84 to 103 and cuts at 214; the other dissolves from 150 to 180."""
    (_, black), (picture, cut), _ = _shots(assets / "clips" / "sintel_trailer_10s.mp4")
    assert 70 <= black <= 90
    assert 97 <= picture <= 110
    assert cut == 214
    (_, first), (second, cut), _ = _shots(assets / "hard" / "real" / "nasa_13013.mp4")
    assert 142 <= first <= 158
    assert 172 <= second <= 188
    assert cut == 240


CAMERA = [
    "clips/car_detection",
    "clips/toy_rabbit",
    "clips_generated/vace_boxing_cats",
    "hard/real/video_with_failing_audio",
]


@pytest.mark.parametrize("name", CAMERA)
def test_camera_clips_are_one_shot(assets: Path, name: str) -> None:
    """Those nearest to a wrong cut: light that changes, a camera that shakes, something fast, a fast tilt."""
    path = assets / f"{name}.mp4"
    assert _shots(path) == [(0, len(probe(str(path)).timestamps))]


def test_damage_leaves_one_shot_with_all_frames(assets: Path) -> None:
    assert _shots(assets / "hard" / "synth" / "zeroed_middle.mp4") == [(0, 48)]
