"""Every file of the collection of hard ones, and where it must end.

Frames are compared with PyAV's plain decoding of the file from its first packet to its last, at full size and bit by
bit (their colours: test_colour.py). Of more than `SAMPLED` frames, the first, the last, and some in between are asked
for; always out of order.
"""

from pathlib import Path

import av
import numpy as np
import pytest

from equivdm.errors import DamagedVideo
from equivdm.video.colour import rgb
from equivdm.video.decode import decode
from equivdm.video.probe import probe
from tests.equivdm.video.hard_files import EXPECTED, Decodes, Ends

SAMPLED = 12


DECODED = {name: end for name, end in EXPECTED.items() if isinstance(end, Decodes)}
REFUSED = {name: end for name, end in EXPECTED.items() if isinstance(end, Ends)}


def test_every_file_has_an_expectation(assets: Path) -> None:
    hard = assets / "hard"
    assert {str(path.relative_to(hard)) for path in hard.rglob("*") if path.is_file()} == set(EXPECTED)


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_used_says_why(assets: Path, name: str) -> None:
    path, end = str(assets / "hard" / name), REFUSED[name]
    with pytest.raises(end.error, match=end.message) as raised:
        decode(path, range(len(probe(path).timestamps)), None)
    assert type(raised.value) is end.error


def plain_frames(path: str, numbers: set[int]) -> dict[int, np.ndarray]:
    """Frames by their place in PyAV's output, as they are stored."""
    with av.open(path) as container:
        stream = container.streams.best("video")
        assert isinstance(stream, av.VideoStream)
        frames = enumerate(container.decode(stream))
        return {number: rgb(frame) for number, frame in frames if number in numbers}


@pytest.mark.parametrize("name", DECODED)
def test_frames_are_those_of_a_plain_decoding(assets: Path, name: str) -> None:
    path, end = str(assets / "hard" / name), DECODED[name]
    info = probe(path)
    assert (len(info.timestamps), info.height, info.width) == (end.frames, end.height, end.width)
    assert (np.diff(info.timestamps) > 0).all()
    rng = np.random.default_rng(0)
    numbers = rng.permutation(end.frames)
    if end.frames > SAMPLED:
        between = rng.choice(np.arange(1, end.frames - 1), 4, replace=False)
        numbers = rng.permutation([0, *between, end.frames - 1])
    stored = plain_frames(path, set(numbers.tolist()))
    want = [np.rot90(stored[k][:, ::-1] if end.mirrored else stored[k], -end.turns) for k in numbers.tolist()]
    np.testing.assert_array_equal(decode(path, numbers.tolist(), None), np.stack(want))
    # Alone, a frame is reached by jumping to the key frame before it.
    for number, picture in zip(numbers.tolist()[:2], want, strict=False):
        np.testing.assert_array_equal(decode(path, [number], None)[0], picture)


@pytest.mark.parametrize("start", [0, 8, 16, 24, 32, 40])
def test_what_refers_to_a_damaged_key_frame_is_refused(assets: Path, start: int) -> None:
    """The zeroed part ends its only key frame; PyAV gives 38 frames, all wrong, and marks the first alone."""
    path = str(assets / "hard" / "synth" / "zeroed_middle.mp4")
    with pytest.raises(DamagedVideo, match=rf"0 of 8 frames could be decoded, of a video of 48.*frame {start} \(h264"):
        decode(path, range(start, start + 8), (64, 64))
