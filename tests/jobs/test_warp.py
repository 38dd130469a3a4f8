"""`equivdm warp`: the same noise in every format, a function of the video and the seed alone."""

from pathlib import Path

import av
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from equivdm.config import FlowConfig
from equivdm.flow import estimate_motion
from equivdm.noise import warped_noise
from equivdm.video.decode import decode
from equivdm.video.synthetic import render_scene
from equivdm.video.write import write_video
from jobs import warp as module
from jobs.cli import main


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("warp") / "scene.mp4"
    write_video(str(path), render_scene(5, frames=9, height=64, width=96).frames, 12.0)
    return str(path)


def warp(video: str, out: Path, *argv: str) -> None:
    assert main(["warp", video, "-o", str(out), "--channels", "4", *argv]) == 0


def test_both_formats_hold_the_same_noise(video: str, tmp_path: Path) -> None:
    warp(video, tmp_path / "a.npy", "--no-preview")
    warp(video, tmp_path / "a.safetensors", "--no-preview", "--seed", "0")
    noise = np.load(tmp_path / "a.npy")
    assert noise.shape == (9, 4, 8, 12)
    assert noise.dtype == np.float16
    assert np.array_equal(noise, load_file(tmp_path / "a.safetensors")["noise"])
    with safe_open(tmp_path / "a.safetensors", "np") as file:
        assert file.metadata()["layout"] == "frames channels height width"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npy", "a.safetensors"]


def test_noise_is_a_function_of_the_seed(video: str, tmp_path: Path) -> None:
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        warp(video, tmp_path / f"{name}.npy", "--no-preview", "--seed", seed)
    first, again, other = ((tmp_path / f"{name}.npy").read_bytes() for name in "abc")
    assert first == again
    assert first != other


def test_how_much_is_held_at_a_time_changes_no_byte(
    video: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ["--time-stride", "2", "--beta", "0.8", "--dtype", "float32"]
    warp(video, tmp_path / "a.npy", *argv)
    monkeypatch.setattr(module, "STEPS_AT_ONCE", 3)
    monkeypatch.setattr(module, "BYTES_AT_ONCE", 4 * 64 * 96 * 3)  # four frames
    warp(video, tmp_path / "b.npy", *argv)
    for suffix in (".npy", ".preview.mp4"):
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    assert len(list(tmp_path.iterdir())) == 4  # and nothing is left of what was written on the way


def test_it_is_the_noise_of_the_estimated_motion(video: str, tmp_path: Path) -> None:
    warp(video, tmp_path / "a.npy", "--no-preview", "--grid", "8x12", "--seed", "5", "--dtype", "float32")
    motion = estimate_motion(decode(video, range(9), None), FlowConfig())
    noise = warped_noise(motion.forward, motion.backward, grid=(8, 12), channels=4, seed=5, unknown="fresh")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), noise)


def test_grid_frames_and_time_stride_decide_the_shape(video: str, tmp_path: Path) -> None:
    argv = ["--grid", "16x24", "--frames", "7", "--time-stride", "4", "--dtype", "float32"]
    warp(video, tmp_path / "a.npy", "--no-preview", *argv)
    noise = np.load(tmp_path / "a.npy")
    assert noise.shape == (2, 4, 16, 24)
    assert noise.dtype == np.float32
    # Emitting fewer frames of the same motion is a choice among the same frames.
    warp(video, tmp_path / "b.npy", "--no-preview", "--grid", "16x24", "--frames", "7", "--dtype", "float32")
    assert np.array_equal(noise, np.load(tmp_path / "b.npy")[::4])


def test_the_preview_shows_video_and_noise_side_by_side(video: str, tmp_path: Path) -> None:
    warp(video, tmp_path / "a.npy")
    with av.open(str(tmp_path / "a.preview.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert np.shape(frames) == (9, 64, 192, 3)


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["{video}", "-o", "{out}/a.txt"], "--out: got {out}/a.txt, wanted a name that ends in .npy or .safetensors"),
        (["{out}/no.mp4", "-o", "{out}/a.npy"], "no file '{out}/no.mp4': wanted the path of a video"),
        (["{video}", "-o", "{out}/a.npy", "--beta", "2"], "--beta: got 2.0, wanted a share from 0 to 1"),
        (
            ["{video}", "-o", "{out}/a.npy", "--frames", "1"],
            "{video}: got 1 frame, wanted at least 2",
        ),
        (
            ["{video}", "-o", "{out}/a.npy", "--seed=-1"],
            "--seed: got -1, wanted 0 to 2^64 - 1; derive one with equivdm.seeds.derive_seed",
        ),
        (
            ["{video}", "-o", "{out}/a.npy", "--grid", "1200x96"],
            "--grid: got (1200, 96) with per_cell=4 on a flow of (64, 96), wanted at most 64 particles along a pixel; "
            "give a finer flow or a coarser grid",
        ),
        (
            ["{video}", "-o", "{out}/a.npy", "--stride", "500"],
            "--stride: got 500 for frames of 64x96, wanted a smaller one",
        ),
    ],
)
def test_bad_input_is_named(
    video: str, tmp_path: Path, argv: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [part.format(video=video, out=tmp_path) for part in argv]
    assert main(["warp", *filled]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"equivdm: {complaint.format(video=video, out=tmp_path)}"
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_video_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    assert main(["warp", str(tmp_path / "text.mp4"), "-o", str(tmp_path / "a.npy")]) == 2
    assert capsys.readouterr().err.startswith(f"equivdm: {tmp_path}/text.mp4 cannot be read: ")
    assert not (tmp_path / "a.npy").exists()
