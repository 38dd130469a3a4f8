"""Long videos in parts: one pass, in order, the frames that `decode` gives."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from equivdm.config import DecodeConfig
from equivdm.errors import DamagedVideo
from equivdm.render_config import FrameConfig
from equivdm.video import decode as decoding
from equivdm.video.decode import decode, decode_chunks
from equivdm.video.frame import fit
from equivdm.video.sandbox import Sandbox
from equivdm.video.synthetic import render_scene

FRAMES = 30


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Key frames at 0, 12 and 24, the last two of open groups, with B-frames before them in time."""
    path = str(tmp_path_factory.mktemp("chunks") / "scene.mp4")
    options = {"bf": "3", "g": "12", "x264-params": "open-gop=1:scenecut=0:b-adapt=0"}
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for frame in render_scene(2, frames=FRAMES, height=48, width=64).frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("start", [0, 11, 12, 22, 23, 29])
@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_parts_are_what_decode_gives(path: str, start: int, chunk: int) -> None:
    want = decode(path, range(start, FRAMES), (32, 32))
    parts = list(decode_chunks(path, start, FRAMES, (32, 32), chunk))
    assert [len(part) for part in parts[:-1]] == [chunk] * (len(parts) - 1)
    assert 1 <= len(parts[-1]) <= chunk
    np.testing.assert_array_equal(np.concatenate(parts), want)


@pytest.mark.parametrize("rule", ["crop", "pad", "stretch"])
def test_a_fit_makes_the_models_frames(path: str, rule: str) -> None:
    found = fit((48, 64), FrameConfig(height=32, width=32, rule=rule), 16)  # pyright: ignore
    want = np.stack([found.apply(picture) for picture in decode(path, range(4, 9), None)])
    np.testing.assert_array_equal(decode(path, range(4, 9), found), want)
    np.testing.assert_array_equal(np.concatenate(list(decode_chunks(path, 4, 9, found, 2))), want)
    if rule == "crop":
        np.testing.assert_array_equal(want, decode(path, range(4, 9), (32, 32)))


def test_the_file_is_read_once(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int | None] = []
    numbered: Callable[..., object] = decoding.numbered

    def counted(path: str, layout: object, start: int | None, said: list[object]) -> object:
        opened.append(start)
        return numbered(path, layout, start, said)

    monkeypatch.setattr(decoding, "numbered", counted)
    assert len(list(decode_chunks(path, 13, FRAMES, (16, 16), 2))) == 9
    assert len(opened) == 1


def test_parts_come_through_the_sandbox(path: str) -> None:
    sandbox = Sandbox(DecodeConfig())
    found = fit((48, 64), FrameConfig(rule="pad"), 32)
    parts = list(sandbox.stream(decode_chunks, path, 3, 20, found, 8))
    sandbox.close()
    assert [part.shape for part in parts] == [(8, 64, 64, 3), (8, 64, 64, 3), (1, 64, 64, 3)]
    np.testing.assert_array_equal(np.concatenate(parts), decode(path, range(3, 20), found))


def test_damage_ends_the_parts_at_its_frame(assets: Path) -> None:
    path = str(assets / "hard" / "synth" / "zeroed_middle.mp4")
    with pytest.raises(DamagedVideo, match=r"^0 of 40 frames could be decoded.*missing is frame 8 \(h264"):
        list(decode_chunks(path, 8, 48, (16, 16), 4))


def test_parts_before_the_damage_are_given(path: str, tmp_path: Path) -> None:
    data = bytearray(Path(path).read_bytes())
    with av.open(path) as container:
        packet = next(p for p in container.demux(video=0) if p.is_keyframe and (p.pts or 0) > 0)
        place, size = packet.pos or 0, packet.size
    data[place + 40 : place + size] = bytes(size - 40)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(data)
    given: list[np.ndarray] = []
    with pytest.raises(DamagedVideo, match="of 30 frames could be decoded"):
        given.extend(decode_chunks(str(damaged), 0, FRAMES, (32, 32), 4))
    assert len(given) >= 2
    np.testing.assert_array_equal(np.concatenate(given), decode(path, range(4 * len(given)), (32, 32)))


@pytest.mark.parametrize(("start", "stop", "chunk"), [(-1, 4, 2), (4, 4, 2), (0, 31, 2), (0, 4, 0)])
def test_wrong_arguments_are_refused(path: str, start: int, stop: int, chunk: int) -> None:
    with pytest.raises(ValueError, match="at least one, from 0 up"):
        next(iter(decode_chunks(path, start, stop, None, chunk)))
