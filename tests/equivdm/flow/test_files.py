"""Flow beside a video, at the frames and the size of a clip: a known pan gives known vectors."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from equivdm.beside import files_digest
from equivdm.config import OcclusionConfig
from equivdm.errors import BadFlow
from equivdm.flow import occlusion_of, warp_back
from equivdm.flow.files import find_flow, read_flow
from equivdm.noise import plan_motion
from equivdm.render_config import FrameConfig
from equivdm.video.decode import decode
from equivdm.video.frame import fit
from equivdm.video.probe import VideoInfo, probe
from equivdm.video.synthetic import render_scene
from equivdm.video.timing import Timing
from equivdm.video.write import write_video

HEIGHT, WIDTH = 48, 80


def info(frames: int, height: int = HEIGHT, width: int = WIDTH, aspect: float = 1.0) -> VideoInfo:
    """What probe says of a video."""
    shown = round(width * aspect)
    times, timing = np.arange(frames) / 25, Timing.at_rate(25.0)
    return VideoInfo(width, height, shown, height, 25.0, times, 0, aspect, timing, sound=False)


def save(folder: Path, forward: np.ndarray, backward: np.ndarray | None = None) -> Path:
    """Write an .npz of vectors."""
    place = folder / "v.flow.npz"
    np.savez(place, **({"forward": forward} | ({} if backward is None else {"backward": backward})))  # type: ignore[arg-type]
    return place


def pan(frames: int, vector: tuple[float, float], height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Every pixel moves by the same vector in every step."""
    return np.full((frames - 1, height, width, 2), vector, np.float32)


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        (None, (6, -4)),
        ((24, 40), (3, -2)),  # half, all of the frame
        ((24, 24), (3, -2)),  # half, cut left and right
        ((12, 40), (3, -2)),  # half, cut above and below
        ((96, 96), (12, -8)),  # twice, cut
        ((32, 32), (4, -8 / 3)),  # two thirds
    ],
)
def test_a_pan_is_scaled_with_the_picture(
    size: tuple[int, int] | None, wanted: tuple[float, float], tmp_path: Path
) -> None:
    place = save(tmp_path, pan(3, (6, -4)), pan(3, (-6, 4)))
    forward, backward = read_flow(place, [0, 1, 2], info(3), size)
    assert backward is not None
    assert forward.shape == backward.shape == (2, *(size or (HEIGHT, WIDTH)), 2)
    np.testing.assert_allclose(forward, np.broadcast_to(np.float32(wanted), forward.shape), rtol=1e-6)
    np.testing.assert_allclose(backward, -forward, rtol=1e-6)


def test_pixels_that_are_not_square_scale_each_axis_by_itself(tmp_path: Path) -> None:
    # 80 x 48 pixels, each twice as wide as high, are shown as 160 x 48; a square clip shows 24 x 48 of them.
    forward, _ = read_flow(save(tmp_path, pan(2, (3, 4))), [0, 1], info(2, aspect=2.0), (24, 24))
    np.testing.assert_allclose(forward[0, 5, 5], (3, 2), rtol=1e-6)


def test_the_crop_is_that_of_the_pictures(tmp_path: Path) -> None:
    """Vectors that are the picture's own values end up where the pixels do."""
    video = tmp_path / "v.mp4"
    picture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8), (0, 0), 6)
    write_video(str(video), np.stack([picture, picture]), 25.0)
    whole = decode(str(video), [0, 1], None).astype(np.float32)
    place = save(tmp_path, whole[:1, ..., :2].copy())
    configs = [FrameConfig(height=32, width=32, rule=rule) for rule in ("crop", "pad", "stretch")]
    for size in ((24, 24), (16, 40), *(fit((HEIGHT, WIDTH), config, 16) for config in configs)):
        forward, _ = read_flow(place, [0, 1], probe(str(video)), size)
        shown = decode(str(video), [0], size)[0, ..., :2].astype(np.float32)
        scale = forward[0] / shown
        # Bytes are rounded.
        np.testing.assert_allclose(scale, np.broadcast_to(np.median(scale, axis=(0, 1)), scale.shape), rtol=0.02)


@pytest.mark.parametrize(("indices", "moves"), [([0, 1, 2], [1, 1]), ([0, 2, 5], [2, 3]), ([1, 1, 2], [0, 1])])
def test_left_out_frames_are_chained_and_repeated_ones_are_still(
    indices: list[int], moves: Sequence[int], tmp_path: Path
) -> None:
    place = save(tmp_path, pan(6, (2, 1)), pan(6, (-2, -1)))
    forward, backward = read_flow(place, indices, info(6), None)
    assert backward is not None
    for step, count in enumerate(moves):
        np.testing.assert_array_equal(
            forward[step], np.broadcast_to(np.float32((2 * count, count)), forward[step].shape)
        )
    np.testing.assert_array_equal(backward, -forward)


def test_chained_flow_is_that_of_the_composed_motion(tmp_path: Path) -> None:
    """A zoom about the middle by 1.1 a step: two steps are a zoom by 1.21, both ways."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    arm = np.stack([columns - (WIDTH - 1) / 2, rows - (HEIGHT - 1) / 2], axis=-1)
    place = save(tmp_path, np.stack([0.1 * arm] * 2), np.stack([(1 / 1.1 - 1) * arm] * 2))
    forward, backward = read_flow(place, [0, 2], info(3), None)
    assert backward is not None
    middle = np.s_[8:-8, 8:-8]
    np.testing.assert_allclose(forward[0][middle], 0.21 * arm[middle], atol=1e-4)
    np.testing.assert_allclose(backward[0], (1 / 1.21 - 1) * arm, atol=1e-4)


def test_unknown_vectors_stay_unknown_where_they_are_chained(tmp_path: Path) -> None:
    vectors = pan(3, (4, 0))
    vectors[0, 10, 10] = vectors[1, 20, 24] = np.nan
    forward, _ = read_flow(save(tmp_path, vectors), [0, 2], info(3), None)
    unknown = np.isnan(forward[0]).any(-1)
    assert unknown[10, 10]
    assert unknown[20, 20]  # it lands on (20, 24)
    assert unknown.sum() <= 5


def test_a_renderer_s_forward_flow_alone_makes_noise(tmp_path: Path) -> None:
    scene = render_scene(3, frames=4, height=HEIGHT, width=WIDTH)
    forward, backward = read_flow(save(tmp_path, scene.forward), range(4), info(4), (24, 40))
    assert backward is None
    hidden, unknown = occlusion_of(forward, backward, OcclusionConfig())
    assert unknown is None
    assert hidden.shape == (3, 24, 40)
    assert plan_motion(forward, backward, grid=(12, 20)).noise(0, 4).shape == (4, 4, 12, 20)


def test_a_rendered_scene_read_at_half_size_leads_to_the_same_material(tmp_path: Path) -> None:
    scene = render_scene(3, frames=3, height=HEIGHT, width=WIDTH)
    forward, _ = read_flow(save(tmp_path, scene.forward, scene.backward), range(3), info(3), (24, 40))
    small = [cv2.resize(frame, (40, 24), interpolation=cv2.INTER_AREA).astype(np.float32) for frame in scene.frames]
    for old, new, flow in zip(small[:-1], small[1:], forward, strict=True):
        still, right, unscaled = (np.median(np.abs(old - warp_back(new, factor * flow))) for factor in (0, 1, 2))
        assert right < 0.8 * min(still, unscaled), (still, right, unscaled)


def test_a_video_finds_its_vectors_beside_it(tmp_path: Path) -> None:
    video = tmp_path / "a.b.mp4"
    with pytest.raises(BadFlow, match=r"no motion vectors beside a.b.mp4: wanted a.b.flow/ or a.b.flow.npz"):
        find_flow(video)
    (tmp_path / "a.b.flow.npz").touch()
    assert find_flow(video) == tmp_path / "a.b.flow.npz"
    (tmp_path / "a.b.flow").mkdir()
    assert find_flow(video) == tmp_path / "a.b.flow"


def test_the_digest_is_of_the_vectors_and_not_of_the_place(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "abcd"]
    contents = [{"0": b"x", "1": b"y"}, {"0": b"x", "1": b"y"}, {"0": b"y", "1": b"x"}, {"0": b"x"}]
    for folder, files in zip(folders, contents, strict=True):
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
    names = [files_digest(folder) for folder in folders]
    assert names[0] == names[1]
    assert len(set(names)) == 3
    for name in ("a.npz", "b.npz"):
        (tmp_path / name).write_bytes(b"z")
    assert files_digest(tmp_path / "a.npz") == files_digest(tmp_path / "b.npz")


@pytest.mark.parametrize("indices", [[0], [1, 0], [0, 6], [-1, 0]])
def test_frames_that_the_video_has_not_are_refused(indices: list[int], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="of a video of 6"):
        read_flow(save(tmp_path, pan(6, (1, 1))), indices, info(6), None)


def test_vectors_of_another_video_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadFlow, match=r"got 5 steps, wanted 3 for a video of 4 frames"):
        read_flow(save(tmp_path, pan(6, (1, 1))), [0, 1], info(4), None)
    with pytest.raises(BadFlow, match=r"forward flow of step 0: got 80x48 px, wanted 40x24 as the upright video has"):
        read_flow(save(tmp_path, pan(4, (1, 1))), [0, 1], info(4, 24, 40), None)
