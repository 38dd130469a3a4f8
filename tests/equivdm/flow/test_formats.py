"""Motion vectors as files: what OpenCV and OpenEXR write is read bit for bit, and damage is named."""

import sys
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest

from equivdm.errors import BadFlow, UsageError
from equivdm.flow.formats import open_source, read_flo


def field(seed: int, height: int = 6, width: int = 9) -> np.ndarray:
    """Random vectors."""
    return np.random.default_rng(seed).normal(0, 5, (height, width, 2)).astype(np.float32)


def write_exr(path: Path, **channels: np.ndarray) -> None:
    """Write `forward` and `backward` as channels .u and .v."""
    planes = {f"{name}.{axis}": each[..., k].copy() for name, each in channels.items() for k, axis in enumerate("uv")}
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, planes) as file:
        file.write(str(path))


def test_a_flo_of_opencv_is_read_bit_for_bit(tmp_path: Path) -> None:
    cv2.writeOpticalFlow(str(tmp_path / "a.flo"), field(0))
    np.testing.assert_array_equal(read_flo(tmp_path / "a.flo"), field(0))


def test_a_published_flo_is_read_as_opencv_reads_it(assets: Path) -> None:
    path = assets / "flow_gt" / "sintel_alley_1_frame_0001.flo"
    np.testing.assert_array_equal(read_flo(path), cv2.readOpticalFlow(str(path)))


def test_middlebury_s_mark_means_unknown(tmp_path: Path) -> None:
    vectors = field(0)
    vectors[2, 3, 0], vectors[4, 5, 1] = 1.666666e9, np.inf
    cv2.writeOpticalFlow(str(tmp_path / "a.flo"), vectors)
    unknown = np.isnan(read_flo(tmp_path / "a.flo"))
    assert unknown.sum() == 4
    assert unknown[2, 3].all()
    assert unknown[4, 5].all()


@pytest.mark.parametrize("damage", ["short", "long", "magic", "size", "empty", "absent"])
def test_a_damaged_flo_is_named(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "forward_00003.flo"
    cv2.writeOpticalFlow(str(path), field(0))
    data = path.read_bytes()
    broken = {"short": data[:-4], "long": data + b"1234", "magic": b"XXXX" + data[4:], "empty": b""}
    broken["size"] = data[:4] + np.array([-9, -6], "<i4").tobytes() + data[12:]
    path.write_bytes(broken.get(damage, data))
    if damage == "absent":
        path.unlink()
    with pytest.raises(BadFlow, match=r"^forward_00003.flo"):
        read_flo(path)


@pytest.mark.parametrize("two_ways", [True, False])
@pytest.mark.parametrize("kind", ["flo", "npz", "exr"])
def test_every_format_holds_the_same_steps(kind: str, two_ways: bool, tmp_path: Path) -> None:
    forward, backward = (np.stack([field(base + k) for k in range(3)]) for base in (0, 10))
    place = tmp_path / ("v.flow.npz" if kind == "npz" else "v.flow")
    ways = {"forward": forward, "backward": backward} if two_ways else {"forward": forward}
    if kind == "npz":
        np.savez_compressed(place, **ways)  # type: ignore[arg-type]
    else:
        place.mkdir()
    if kind == "flo":
        for way, steps in ways.items():
            for k, step in enumerate(steps):
                cv2.writeOpticalFlow(str(place / f"{way}_{k:05d}.flo"), step)
    if kind == "exr":
        for k in range(4):  # a frame has the vectors to the next and to the one before
            here = {"forward": forward[k]} if k < 3 else {}
            here |= {"backward": backward[k - 1]} if two_ways and k > 0 else {}
            write_exr(place / f"frame_{k:05d}.exr", **(here or {"forward": np.zeros_like(forward[0])}))
    source = open_source(place)
    assert source.two_ways == two_ways
    assert source.steps == (3 if kind == "npz" else None)
    for k in range(3):
        np.testing.assert_array_equal(source.read("forward", k), forward[k])
        if two_ways:
            np.testing.assert_array_equal(source.read("backward", k), backward[k])


def test_half_precision_in_an_npz_is_read_as_single(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.flow.npz", forward=field(0)[None].astype(np.float16))
    read = open_source(tmp_path / "v.flow.npz").read("forward", 0)
    np.testing.assert_array_equal(read, field(0).astype(np.float16).astype(np.float32))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"backward": np.zeros((1, 4, 4, 2), np.float32)}, "got 'backward'"),
        ({"flow": np.zeros((1, 4, 4, 2), np.float32)}, "got 'flow'"),
        ({"forward": np.zeros((1, 4, 4, 3), np.float32)}, r"got 'forward' of float32 \(1, 4, 4, 3\)"),
        ({"forward": np.zeros((1, 4, 4, 2), np.int16)}, "got 'forward' of int16"),
        ({}, "got no array"),
    ],
)
def test_arrays_of_another_form_are_named(arrays: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "v.flow.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(BadFlow, match=message):
        open_source(tmp_path / "v.flow.npz")


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04broken"])
def test_a_damaged_npz_is_named_and_pickles_are_not_run(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "v.flow.npz").write_bytes(content)
    with pytest.raises(BadFlow, match=r"v.flow.npz cannot be read"):
        open_source(tmp_path / "v.flow.npz")
    np.savez(tmp_path / "v.flow.npz", forward=np.array([{}], object))
    with pytest.raises(BadFlow, match=r"v.flow.npz cannot be read"):
        open_source(tmp_path / "v.flow.npz")


def test_a_folder_of_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "v.flow").mkdir()
    (tmp_path / "v.flow" / "0.flo").touch()
    with pytest.raises(BadFlow, match=r"holds no motion vectors: wanted a folder with forward_00000.flo"):
        open_source(tmp_path / "v.flow")


def test_an_exr_without_the_channels_or_damaged_is_named(tmp_path: Path) -> None:
    write_exr(tmp_path / "frame_00000.exr", Vector=field(0))
    source = open_source(tmp_path)
    with pytest.raises(BadFlow, match=r"got the channels \['Vector.u', 'Vector.v'\], wanted forward.u and forward.v"):
        source.read("forward", 0)
    (tmp_path / "frame_00001.exr").write_bytes(b"no picture")
    with pytest.raises(BadFlow, match=r"frame_00001.exr cannot be read"):
        open_source(tmp_path)


def test_without_the_package_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "frame_00000.exr").touch()
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(UsageError, match=r"pip install 'equivdm\[exr\]', or write .flo files"):
        open_source(tmp_path)
